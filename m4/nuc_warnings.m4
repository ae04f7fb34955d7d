# NUC_WARNINGS
# Sets WARN_CFLAGS; --enable-werror turns warnings into errors.
AC_DEFUN([NUC_WARNINGS],
[AC_ARG_ENABLE([werror],
  [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
  [], [enable_werror=no])
WARN_CFLAGS=
NUC_APPEND_FLAGS([WARN_CFLAGS], [-std=gnu11 -Wall -Wextra -Wshadow -Wundef -Wvla dnl
-Walloca -Wpointer-arith -Wwrite-strings -Wstrict-prototypes -Wmissing-prototypes dnl
-Wold-style-definition -Wimplicit-fallthrough -Wformat=2 -Wformat-security dnl
-Wduplicated-cond -Wlogical-op])
AS_IF([test "x$enable_werror" != xno], [AS_VAR_APPEND([WARN_CFLAGS], [" -Werror"])])
AC_SUBST([WARN_CFLAGS])
])
