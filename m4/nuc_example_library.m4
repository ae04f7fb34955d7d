# NUC_EXAMPLE_LIBRARY(NAME, MODULE)
# NAME_CFLAGS, NAME_LIBS and the conditional NAME, if pkg-config knows the module; only
# an example needs it.  nuc_MODULE tells the summary.
AC_DEFUN([NUC_EXAMPLE_LIBRARY],
[PKG_CHECK_MODULES([$1], [$2], [AS_TR_SH([nuc_$2])=yes], [AS_TR_SH([nuc_$2])=no])
AM_CONDITIONAL([$1], [test "x$AS_TR_SH([nuc_$2])" = xyes])
])
