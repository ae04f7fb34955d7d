# NUC_CHECK_HIREDIS
# HIREDIS_CFLAGS, HIREDIS_LIBS and the conditional REDIS, for a Redis store: if hiredis
# is there, unless --without-redis; --with-redis makes it required.
AC_DEFUN([NUC_CHECK_HIREDIS],
[AC_ARG_WITH([redis],
  [AS_HELP_STRING([--without-redis], [do not look for hiredis, which a Redis store needs])],
  [], [with_redis=check])
nuc_redis=no
AS_IF([test "x$with_redis" != xno],
  [PKG_CHECK_MODULES([HIREDIS], [hiredis >= 0.14], [nuc_redis=yes],
    [AS_IF([test "x$with_redis" = xyes],
      [AC_MSG_ERROR([hiredis is needed (Debian: libhiredis-dev)])])])])
AM_CONDITIONAL([REDIS], [test "x$nuc_redis" = xyes])
])
