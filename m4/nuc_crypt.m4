# NUC_CHECK_CRYPT
# CRYPT_LIBS; required: crypt_r, for bcrypt hashes.
AC_DEFUN([NUC_CHECK_CRYPT],
[CRYPT_LIBS=
AC_CHECK_HEADER([crypt.h],
  [nuc_save_LIBS=$LIBS
   AC_SEARCH_LIBS([crypt_r], [crypt],
     [AS_CASE([$ac_cv_search_crypt_r],
       ["none required"], [],
       [CRYPT_LIBS=$ac_cv_search_crypt_r])],
     [AC_MSG_ERROR([libcrypt does not link (Debian: libcrypt-dev)])])
   LIBS=$nuc_save_LIBS],
  [AC_MSG_ERROR([crypt.h is needed (Debian: libcrypt-dev)])])
AC_SUBST([CRYPT_LIBS])
])
