/*
 * sioc/simple.h - a Socket.IO client for programs that do one thing after another
 *
 * For commands and tests: connect, emit, call, receive, each of which returns when it is
 * done.  There is one namespace, and a loop of its own that runs only inside these calls.
 * So nothing happens in between: a program that stays away for longer than the server's
 * ping timeout finds the connection lost, and the next call waits until it is back.
 *
 * One client belongs to one thread at a time; several may be used by several threads.
 *
 *     struct sio_simple_options o = {.client = {.url = "http://127.0.0.1:3000"}};
 *     struct sio_simple *s = sio_simple_connect(&o, &diag);
 *     struct sio_message *m = sio_message_newf("add", "ii", 1, 2);
 *     struct sio_event *answer;
 *
 *     if (s && sio_simple_call(s, m, 0, &answer) == SIO_OK)
 *         printf("%.*s\n", (int)sio_event_arg(answer, 0).len, sio_event_arg(answer, 0).ptr);
 */
#ifndef SIOC_SIMPLE_H
#define SIOC_SIMPLE_H

#include <sioc/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sio_simple;

struct sio_simple_options {
    struct sio_client_options client; /* its callbacks and user are not used */
    const char *nsp;                  /* NULL: "/" */
    struct sio_str auth;              /* a JSON object; ptr NULL: none */
    uint32_t timeout_ms; /* to connect, and of what has no time of its own; 0: 20 s */
    size_t max_events; /* received and not taken yet; the oldest makes room; 0: 1024 */
};

/*
 * Dials until the namespace is joined; while that fails it tries again until the time is
 * up, unless client.no_reconnect.  NULL with the reason in diag (may be NULL): what the
 * last attempt failed of, or the server's refusal.
 */
SIOC_API struct sio_simple *sio_simple_connect(const struct sio_simple_options *opts,
                                               struct sio_diag *diag);

/*
 * After SIO_ERR_CLOSED: tries again what the server had ended or refused.  SIO_OK,
 * SIO_ERR_TIMEOUT, SIO_ERR_CLOSED (as before: sio_simple_why), SIO_ERR_NOMEM.
 */
SIOC_API int sio_simple_reconnect(struct sio_simple *s);

/* Says goodbye (2 s at most) and frees.  NULL is allowed. */
SIOC_API void sio_simple_disconnect(struct sio_simple *s);

/*
 * Emits m, which stays the caller's, and returns when the kernel has it (polling: when the
 * server has it); waits for the connection to be back if need be.  SIO_OK;
 * SIO_ERR_TIMEOUT (it may still be sent by a later call); SIO_ERR_CLOSED: the connection
 * was lost on the way (the next call finds a new one), the server has disconnected or
 * refused us, or attempts have ended; or as sio_client_socket_emit.
 */
SIOC_API int sio_simple_emit(struct sio_simple *s, struct sio_message *m);

/*
 * The same with an ack, and returns when the answer is there: *answer is good until the
 * next call of sio_simple_call.  timeout_ms 0: the options'.  Errors as sio_simple_emit, *answer
 * is then NULL; SIO_ERR_TIMEOUT also where no answer came.
 */
SIOC_API int sio_simple_call(struct sio_simple *s, struct sio_message *m,
                             uint32_t timeout_ms, struct sio_event **answer);

/*
 * The next event, whatever its name, in the order of arrival: *e is good until the next
 * call of this.  timeout_ms 0: does not wait.  SIO_OK, SIO_ERR_TIMEOUT, SIO_ERR_CLOSED as
 * above (what was received before is given first), SIO_ERR_NOMEM.
 */
SIOC_API int sio_simple_receive(struct sio_simple *s, uint32_t timeout_ms,
                                struct sio_event **e);

/*
 * Answers the event that sio_simple_receive gave last, if its sender wants that; m: the
 * arguments, or NULL for none.  SIO_OK, SIO_ERR_NOT_FOUND (no answer is wanted, or it was
 * given), SIO_ERR_CLOSED (that connection is gone), or as sio_event_ack.
 */
SIOC_API int sio_simple_answer(struct sio_simple *s, struct sio_message *m);
SIOC_API bool sio_simple_wants_answer(const struct sio_simple *s);

/* Whether the namespace was joined when last seen; its socket, whose ops are not yours. */
SIOC_API bool sio_simple_connected(const struct sio_simple *s);
SIOC_API struct sio_client_socket *sio_simple_socket(struct sio_simple *s);
SIOC_API struct sio_client *sio_simple_client(struct sio_simple *s);

/* Why the connection was lost or refused last, for an operator; "" if it never was. */
SIOC_API const char *sio_simple_why(const struct sio_simple *s);

#ifdef __cplusplus
}
#endif
#endif
