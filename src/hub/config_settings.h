/*
 * hub/config_settings.h - settings, by the name that each has in the file, the environment,
 * the command line
 */
#ifndef HUB_CONFIG_SETTINGS_H
#define HUB_CONFIG_SETTINGS_H

#include "hub/config.h"

#define HUB_SETTINGS_MAX 64
#define HUB_LISTED_MAX   65536 /* cameras or NUCs */

enum hub_setting_kind {
    KIND_TEXT,
    KIND_SECRET,
    KIND_NUMBER,
    KIND_SIZE,
    KIND_CHOICE,
    KIND_SWITCH,
};

struct hub_setting {
    const char *name;
    const char *env;  /* or NULL */
    const char *flag; /* or NULL */
    enum hub_setting_kind kind;
    size_t offset; /* in struct hub_config */
    uint64_t min;
    uint64_t max;
    const char *const *choices; /* up to a NULL; stored as their number */
};

/* All of them, at most HUB_SETTINGS_MAX; one by its name in the file, or NULL. */
const struct hub_setting *hub_settings(size_t *n);
const struct hub_setting *hub_setting_find(struct sio_str name);

/*
 * Checks and stores a value.  where: what an error begins with, such as
 * `nuchubd.conf:12` or `PORT`.
 */
int hub_setting_set(struct hub_config *c, const struct hub_setting *s,
                    struct sio_str value, const char *where, struct sio_diag *diag);

/* A copy in place of *to; an empty value takes back what an earlier place said. */
int hub_setting_text(char **to, struct sio_str value);

#endif
