# NUC_CHECK_FFMPEG: FFMPEG_CFLAGS, FFMPEG_LIBS; required by the agent.
# The versions are those of FFmpeg 5.1.  Of libavfilter only the headers are used: the agent
# loads it when it is told to draw into pictures.
AC_DEFUN([NUC_CHECK_FFMPEG],
[PKG_CHECK_MODULES([FFMPEG],
  [libavformat >= 59.27 libavcodec >= 59.37 libswscale >= 6.7 libavutil >= 57.28], [],
  [AC_MSG_ERROR([FFmpeg 5.1 or later is needed by the agent (Debian: libavformat-dev,
    libavcodec-dev, libswscale-dev, libavutil-dev), or --disable-agent])])
PKG_CHECK_MODULES([AVFILTER], [libavfilter >= 8.44],
  [FFMPEG_CFLAGS="$FFMPEG_CFLAGS $AVFILTER_CFLAGS"],
  [AC_MSG_ERROR([the agent needs the headers of libavfilter (Debian: libavfilter-dev),
    or --disable-agent])])
])
