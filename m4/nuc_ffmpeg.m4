# NUC_CHECK_FFMPEG: FFMPEG_CFLAGS, FFMPEG_LIBS; required by the agent.
# The versions are those of FFmpeg 5.1.
AC_DEFUN([NUC_CHECK_FFMPEG],
[PKG_CHECK_MODULES([FFMPEG],
  [libavformat >= 59.27 libavcodec >= 59.37 libswscale >= 6.7 libavutil >= 57.28], [],
  [AC_MSG_ERROR([FFmpeg 5.1 or later is needed by the agent (Debian: libavformat-dev,
    libavcodec-dev, libswscale-dev, libavutil-dev), or --disable-agent])])
])
