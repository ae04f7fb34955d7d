# NUC_CHECK_ZLIB: ZLIB_CFLAGS, ZLIB_LIBS; required.
AC_DEFUN([NUC_CHECK_ZLIB],
[PKG_CHECK_MODULES([ZLIB], [zlib >= 1.2.9], [],
  [AC_MSG_ERROR([zlib 1.2.9 or later is needed (Debian: zlib1g-dev)])])
nuc_zlib_version=`$PKG_CONFIG --modversion zlib`
])
