#include <config.h>

#include "agent/logins.h"

#include <pthread.h>
#include <time.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

#define MAX_LOGINS        1024
#define CANCEL_LATENCY_NS (100 * 1000 * 1000)

enum login_state {
    LOGIN_UNPROVEN,
    LOGIN_TRYING,
    LOGIN_GOOD,
    LOGIN_REFUSED,
};

struct login {
    struct list link;
    enum login_state state;
    uint32_t n_refused;
    uint64_t until_ms;
    uint16_t port;
    char *host;
    char *user;
    char *password;
};

struct agent_logins {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct list logins; /* the one used last is the last */
    size_t n_logins;
};

static uint64_t now_ms(void)
{
    return clock_mono_ns() / 1000000;
}

uint64_t agent_logins_pause_ms(uint32_t n)
{
    uint64_t ms = AGENT_REFUSED_FIRST_MS;

    while (n > 1 && ms < AGENT_REFUSED_MAX_MS) {
        ms *= 2;
        n--;
    }
    return ms < AGENT_REFUSED_MAX_MS ? ms : AGENT_REFUSED_MAX_MS;
}

static void free_login(struct agent_logins *l, struct login *login)
{
    list_remove(&login->link);
    l->n_logins--;
    if (login->password)
        explicit_bzero(login->password, strlen(login->password));
    mem_free(login->host);
    mem_free(login->user);
    mem_free(login->password);
    mem_free(login);
}

struct agent_logins *agent_logins_new(void)
{
    struct agent_logins *l = mem_new(struct agent_logins);
    pthread_condattr_t attr;

    if (!l)
        return NULL;
    list_init(&l->logins);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &attr);
    pthread_condattr_destroy(&attr);
    return l;
}

void agent_logins_free(struct agent_logins *l)
{
    struct login *login;

    if (!l)
        return;
    list_for_each (login, struct login, link, &l->logins)
        free_login(l, login);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->mutex);
    mem_free(l);
}

static struct login *find(struct agent_logins *l, const struct agent_target *t)
{
    struct login *login;

    list_for_each (login, struct login, link, &l->logins)
        if (login->port == t->port && strcmp(login->host, t->host) == 0 &&
            strcmp(login->user, t->user) == 0 &&
            strcmp(login->password, t->password) == 0)
            return login;
    return NULL;
}

/* Forgets the login that was used longest ago and that is not in use or refused. */
static bool make_room(struct agent_logins *l)
{
    struct login *login;

    if (l->n_logins < MAX_LOGINS)
        return true;
    list_for_each (login, struct login, link, &l->logins) {
        if (login->state == LOGIN_TRYING || login->until_ms > now_ms())
            continue;
        free_login(l, login);
        return true;
    }
    return false;
}

static struct login *add(struct agent_logins *l, const struct agent_target *t)
{
    struct login *login = make_room(l) ? mem_new(struct login) : NULL;

    if (!login)
        return NULL;
    list_append(&l->logins, &login->link);
    l->n_logins++;
    login->port = t->port;
    login->host = mem_strndup(t->host, strlen(t->host));
    login->user = mem_strndup(t->user, strlen(t->user));
    login->password = mem_strndup(t->password, strlen(t->password));
    if (login->host && login->user && login->password)
        return login;
    free_login(l, login);
    return NULL;
}

/* Lets go of the mutex for a moment. */
static void wait_changed(struct agent_logins *l)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += CANCEL_LATENCY_NS;
    if (until.tv_nsec >= 1000 * 1000 * 1000) {
        until.tv_nsec -= 1000 * 1000 * 1000;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&l->changed, &l->mutex, &until);
}

uint64_t agent_logins_ask(struct agent_logins *l, const struct agent_capture *c)
{
    struct login *login;
    uint64_t wait_ms = 0;
    uint64_t now;

    pthread_mutex_lock(&l->mutex);
    /* Found again after each wait: it may have been forgotten meanwhile. */
    while ((login = find(l, &c->target)) && login->state == LOGIN_TRYING &&
           !agent_capture_over(c))
        wait_changed(l);
    if (!login)
        login = add(l, &c->target);
    now = now_ms();
    if (login && login->state == LOGIN_REFUSED && login->until_ms > now)
        wait_ms = login->until_ms - now;
    else if (login && login->state != LOGIN_GOOD)
        login->state = LOGIN_TRYING;
    if (login) {
        list_remove(&login->link);
        list_append(&l->logins, &login->link);
    }
    pthread_mutex_unlock(&l->mutex);
    return wait_ms;
}

static void refuse(struct login *login)
{
    /*
     * A login that worked elsewhere on the device: perhaps this camera alone is out of
     * bounds, perhaps the password was changed.  The next try, by one thread, tells.
     */
    if (login->state == LOGIN_GOOD) {
        login->state = LOGIN_UNPROVEN;
        return;
    }
    login->n_refused++;
    login->state = LOGIN_REFUSED;
    login->until_ms = now_ms() + agent_logins_pause_ms(login->n_refused);
}

void agent_logins_tell(struct agent_logins *l, const struct agent_target *target,
                       enum agent_outcome outcome)
{
    struct login *login;

    pthread_mutex_lock(&l->mutex);
    login = find(l, target);
    if (login && outcome == AGENT_REFUSED) {
        refuse(login);
    } else if (login && outcome == AGENT_PICTURE) {
        login->state = LOGIN_GOOD;
        login->n_refused = 0;
        login->until_ms = 0;
    } else if (login && login->state == LOGIN_TRYING) {
        login->state = LOGIN_UNPROVEN;
    }
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
}
