# NUC_APPEND_FLAGS(VARIABLE, FLAGS)
# Appends to the shell variable each of the flags that compiler and linker take.
# The test is linked, since some flags (sanitizers) need a library of their own.
AC_DEFUN([NUC_APPEND_FLAGS],
[AC_LANG_ASSERT([C])
for nuc_flag in $2; do
  AS_VAR_PUSHDEF([nuc_cache], [nuc_cv_flag_$nuc_flag])
  AC_CACHE_CHECK([whether $CC takes $nuc_flag], [nuc_cache],
    [nuc_save_CFLAGS=$CFLAGS
     CFLAGS="-Werror $nuc_flag"
     AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
       [AS_VAR_SET([nuc_cache], [yes])], [AS_VAR_SET([nuc_cache], [no])])
     CFLAGS=$nuc_save_CFLAGS])
  AS_VAR_IF([nuc_cache], [yes], [AS_VAR_APPEND([$1], [" $nuc_flag"])])
  AS_VAR_POPDEF([nuc_cache])
done
])
