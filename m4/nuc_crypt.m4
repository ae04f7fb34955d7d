# NUC_CHECK_CRYPT
# CRYPT_LIBS; required: crypt_rn of libxcrypt, for bcrypt hashes.
AC_DEFUN([NUC_CHECK_CRYPT],
[CRYPT_LIBS=
AC_CHECK_HEADER([crypt.h],
  [nuc_save_LIBS=$LIBS
   AC_SEARCH_LIBS([crypt_rn], [crypt],
     [AS_CASE([$ac_cv_search_crypt_rn],
       ["none required"], [],
       [CRYPT_LIBS=$ac_cv_search_crypt_rn])],
     [AC_MSG_ERROR([libcrypt does not link (Debian: libcrypt-dev)])])
   LIBS=$nuc_save_LIBS],
  [AC_MSG_ERROR([crypt.h is needed (Debian: libcrypt-dev)])])
AC_SUBST([CRYPT_LIBS])
])
