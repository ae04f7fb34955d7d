# NUC_CHECK_ZLIB: ZLIB_CFLAGS, ZLIB_LIBS, HAVE_ZLIB; used if it is there.
AC_DEFUN([NUC_CHECK_ZLIB],
[PKG_CHECK_MODULES([ZLIB], [zlib],
  [nuc_zlib=yes
   AC_DEFINE([HAVE_ZLIB], [1], [Define to 1 if zlib is there.])],
  [nuc_zlib=no])
])
