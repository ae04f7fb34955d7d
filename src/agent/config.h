/*
 * agent/config.h - what the agent is told: `.env`, environment, command line
 *
 * Later ones win.  A value remembers where it came from, so that an error can say
 * `.env:3` or `--interval`.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <sioc/client.h>

#include "agent/source.h"

/* Which cameras the hub may ask for with capture_snapshot. */
enum agent_on_request {
    AGENT_REQUEST_PRIVATE, /* listed ones, and addresses of private networks */
    AGENT_REQUEST_LISTED,
    AGENT_REQUEST_ANY,
};

enum agent_mode {
    AGENT_MODE_RUN,
    AGENT_MODE_CHECK,
    AGENT_MODE_HELP,
    AGENT_MODE_VERSION
};

struct agent_config {
    enum agent_mode mode;
    char *server_url;
    char *nuc_id;
    char *token;    /* that the hub asks for; or NULL; wiped when freed */
    char *user;     /* of cameras that name none; "" for none */
    char *password; /* wiped when freed */
    char *ca_file;  /* or NULL */
    uint32_t interval_ms;
    uint32_t live_width; /* pixels, whatever the hub asks for */
    bool live_text;      /* date, time and name in live pictures */
    char *keep_warm;     /* "all", or names with commas; or NULL */
    enum agent_on_request on_request;
    enum sio_client_transports transports;
    enum sio_log_level log_level;
    struct agent_source *cameras;
    size_t n_cameras;
};

/*
 * Reads everything.  envp is as environ.  SIO_OK, or an error with a diag that names
 * the place and never a password; agent_config_fini is due in both cases.  With
 * AGENT_MODE_HELP and _VERSION nothing but mode is set.
 */
int agent_config_init(struct agent_config *c, int argc, char *const argv[],
                      char *const envp[], struct sio_diag *diag);
void agent_config_fini(struct agent_config *c);

/* True for a camera whose video is held open, for pictures that come at once. */
bool agent_config_keeps_warm(const struct agent_config *c, const char *id);

/* The text of --help. */
const char *agent_config_usage(void);

#endif
