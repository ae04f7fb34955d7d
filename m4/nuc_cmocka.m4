# NUC_CHECK_CMOCKA
# CMOCKA_CFLAGS, CMOCKA_LIBS and the conditional CMOCKA; without it make check runs
# no unit tests.
AC_DEFUN([NUC_CHECK_CMOCKA],
[PKG_CHECK_MODULES([CMOCKA], [cmocka >= 1.1.5], [nuc_cmocka=yes], [nuc_cmocka=no])
AM_CONDITIONAL([CMOCKA], [test "x$nuc_cmocka" = xyes])
])
