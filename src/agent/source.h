/*
 * agent/source.h - where the pictures of one camera can be had
 *
 * A camera has endpoints (a service at a host and port), and each endpoint one path or
 * the usual ones.  An attempt is one path of one endpoint; they are tried in order.
 *
 *     192.0.2.7                 HTTP port 80, then RTSP port 554, the usual paths
 *     192.0.2.7:8080            the same with another HTTP port
 *     patio=http://192.0.2.7:8080            the usual HTTP paths at that port
 *     patio=rtsp://u:p@192.0.2.7:8554/live   this and nothing else
 *     patio=http://192.0.2.7:81|rtsp://192.0.2.7:8554    several, tried in order
 *     patio=test://             the test pattern
 */
#ifndef AGENT_SOURCE_H
#define AGENT_SOURCE_H

#include <stdint.h>

#include "agent/capture.h"
#include "base/buf.h"
#include "base/camera_list.h"

#define AGENT_ENDPOINTS_MAX 4
#define AGENT_PATHS_MAX     4
#define AGENT_ATTEMPTS_MAX  (AGENT_ENDPOINTS_MAX * AGENT_PATHS_MAX)

struct agent_endpoint {
    enum agent_service service;
    uint16_t port;
    char *host;
    char *path;     /* NULL: the usual ones */
    char *user;     /* percent-decoded; "" for none */
    char *password; /* wiped when freed */
};

struct agent_attempt {
    uint8_t endpoint;
    const char *path;
};

struct agent_source {
    char id[CAMERA_ID_MAX + 1];
    struct agent_endpoint endpoints[AGENT_ENDPOINTS_MAX];
    struct agent_attempt attempts[AGENT_ATTEMPTS_MAX];
    uint8_t n_endpoints;
    uint8_t n_attempts;
};

/*
 * Fills *s from an entry of the list.  user and password serve where the entry names
 * none; both may be "".  SIO_OK, SIO_ERR_PARSE or SIO_ERR_NOMEM with a diag that shows
 * no credentials; then there is nothing to free.
 */
int agent_source_init(struct agent_source *s, const struct camera_entry *entry,
                      const char *user, const char *password, struct sio_diag *diag);
void agent_source_fini(struct agent_source *s);

/* What attempt i asks; borrowed from s. */
struct agent_target agent_source_target(const struct agent_source *s, size_t i);

/* True for a path that is known to be the small stream of a camera that has two. */
bool agent_source_is_small(const char *path);

/* The user that is sent first, or "". */
const char *agent_source_user(const struct agent_source *s);

/* Writes attempt i as an operator may see it: no credentials. */
void agent_source_show(const struct agent_source *s, size_t i, struct wbuf *w);

/* True for an address (not a name) of a private, link-local or loopback network. */
bool agent_source_is_private(const char *host);

#endif
