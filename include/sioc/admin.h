/*
 * sioc/admin.h - a namespace for the Socket.IO Admin UI
 *
 * The UI is a page that others make (https://admin.socket.io, or served by oneself).  It
 * shows servers, namespaces, rooms, clients and events, and lets an administrator move,
 * disconnect and send to clients.
 */
#ifndef SIOC_ADMIN_H
#define SIOC_ADMIN_H

#include <sioc/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_admin_options {
    const char *name; /* of the namespace; NULL: "/admin" */
    /*
     * Who may join.  The hash is bcrypt's, as `htpasswd -nbB` or other tools make it:
     * "$2b$10$...".  It is computed on a thread of its own, one at a time; whoever
     * has failed five times in a minute from an address is not listened to.  A UI that
     * was let in comes back without the password for a day.
     */
    const char *username;
    const char *password_hash;
    bool no_auth;   /* instead of the two: everybody may */
    bool read_only; /* shows, and changes nothing */
    /*
     * Shows sockets, rooms and events one by one as they come; without, only figures.
     * Costs something for each of them while a UI is there.
     */
    bool development;
    const char *server_id; /* NULL: the host's name */
};

/*
 * Makes the namespace, which ends with the server.  A UI gets what eio_handshake tells
 * of each client, without cookie and authorization fields and without parameters of the query
 * that are named token, password and the like, and sio_socket_attributes.
 * Costs nothing while no UI is there.
 *
 * opts is copied.  Once per server.  SIO_OK; SIO_ERR_INVAL: no name and hash (or both
 * and no_auth), not a bcrypt hash; SIO_ERR_EXISTS: there is such a namespace;
 * SIO_ERR_NOMEM.  diag, which may be NULL, is filled.
 */
SIOC_API int sio_admin_attach(struct sio_server *server,
                              const struct sio_admin_options *opts,
                              struct sio_diag *diag);

#ifdef __cplusplus
}
#endif
#endif
