# NUC_HARDENING
# Sets HARDEN_CPPFLAGS, HARDEN_CFLAGS and HARDEN_LDFLAGS; --disable-hardening leaves
# them empty.
AC_DEFUN([NUC_HARDENING],
[AC_ARG_ENABLE([hardening],
  [AS_HELP_STRING([--disable-hardening], [no protection by compiler and linker])],
  [], [enable_hardening=yes])
HARDEN_CPPFLAGS=
HARDEN_CFLAGS=
HARDEN_LDFLAGS=
AS_IF([test "x$enable_hardening" != xno], [
  # Fortification needs an optimizing compiler, and sanitizers do its work better.
  AS_CASE([" $CFLAGS "],
    [*" -O0 "*|*-fsanitize=*], [],
    [HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"])
  NUC_APPEND_FLAGS([HARDEN_CFLAGS],
    [-fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection])
  NUC_APPEND_FLAGS([HARDEN_LDFLAGS],
    [-pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack])
])
AC_SUBST([HARDEN_CPPFLAGS])
AC_SUBST([HARDEN_CFLAGS])
AC_SUBST([HARDEN_LDFLAGS])
])
