# NUC_CHECK_OPENSSL: OPENSSL_CFLAGS, OPENSSL_LIBS; required.
AC_DEFUN([NUC_CHECK_OPENSSL],
[PKG_CHECK_MODULES([OPENSSL], [openssl >= 3.0], [],
  [AC_MSG_ERROR([OpenSSL 3.0 or later is needed (Debian: libssl-dev)])])
nuc_openssl_version=`$PKG_CONFIG --modversion openssl`
])
