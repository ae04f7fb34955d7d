#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc_fail.h"
#include "base/str.h"
#include "bus_world.h"
#include "hub/peers.h"

/* Hubs in one process, on one clock that the test moves. */

#define MAX_HUBS 3
#define SOCKETS  4

static uint64_t clock_ms;

uint64_t __wrap_net_loop_now_ms(const struct net_loop *loop);
uint64_t __wrap_net_loop_now_ms(const struct net_loop *loop)
{
    (void)loop;
    return clock_ms;
}

struct one_hub {
    struct fake_bus bus;
    struct hub_registry registry;
    struct hub_peers peers;
    bool alive;
    bool frozen;
    struct hub_nuc_socket sockets[SOCKETS];
    char id[RANDOM_ID_LEN + 1];
    char name[16];
    unsigned n_up;
    unsigned n_left;
    unsigned n_gone;
    unsigned n_moved;
    char message[HUB_ID_MAX + 1];
};

static struct net_loop *loop;
static struct one_hub hubs[MAX_HUBS];

static void on_left(void *user)
{
    ((struct one_hub *)user)->n_left++;
}

static void on_gone(struct hub_peer *peer, void *user)
{
    (void)peer;
    ((struct one_hub *)user)->n_gone++;
}

static void on_message(struct hub_peer *from, const struct hub_wire_msg *m, void *user)
{
    struct one_hub *h = user;

    (void)from;
    memcpy(h->message, m->ip, sizeof(h->message));
}

static void on_moved(struct hub_nuc *nuc, void *user)
{
    (void)nuc;
    ((struct one_hub *)user)->n_moved++;
}

static void on_up(void *user)
{
    ((struct one_hub *)user)->n_up++;
}

static const struct hub_peers_ops ops = {on_up, on_left, on_gone, on_message};

static int start(struct one_hub *h, int i, const struct hub_config *config)
{
    struct hub_peers_options opts = {
        .bus = fake_bus(&h->bus),
        .registry = &h->registry,
        .ops = &ops,
        .user = h,
        .key = "k",
        .id = h->id,
        .name = h->name,
    };

    memset(h, 0, sizeof(*h));
    snprintf(h->id, sizeof(h->id), "hub-----------------");
    h->id[4] = (char)('a' + i);
    snprintf(h->name, sizeof(h->name), "h%d", i);
    for (size_t s = 0; s < SOCKETS; s++)
        list_init(&h->sockets[s].link);
    if (hub_registry_init(&h->registry, config, h->id) < 0)
        return SIO_ERR_NOMEM;
    h->registry.on_moved = on_moved;
    h->registry.moved_user = h;
    h->alive = true;
    fake_bus_add(&h->bus);
    return hub_peers_init(&h->peers, loop, &opts);
}

static void end(struct one_hub *h)
{
    hub_peers_fini(&h->peers);
    hub_registry_fini(&h->registry);
    fake_bus_remove(&h->bus);
    h->alive = false;
}

/* Killed: it says nothing any more. */
static void kill_hub(struct one_hub *h)
{
    fake_bus_remove(&h->bus);
    h->bus.up = false;
    end(h);
}

static void tell(struct one_hub *h)
{
    if (net_timer_running(&h->peers.tell)) {
        net_timer_stop(&h->peers.tell);
        h->peers.tell.cb(&h->peers.tell, h->peers.tell.user);
    }
}

/* All that is due soon: answers to hello, states that were asked for. */
static void settle(void)
{
    for (int round = 0; round < 3; round++) {
        fake_bus_deliver();
        for (int i = 0; i < MAX_HUBS; i++) {
            if (!hubs[i].alive || hubs[i].frozen)
                continue;
            tell(&hubs[i]);
            if (hubs[i].peers.answering)
                hubs[i].peers.beat.cb(&hubs[i].peers.beat, hubs[i].peers.beat.user);
        }
    }
    fake_bus_deliver();
}

static void beat(void)
{
    clock_ms += HUB_PEERS_BEAT_MS;
    for (int i = 0; i < MAX_HUBS; i++)
        if (hubs[i].alive && !hubs[i].frozen)
            hubs[i].peers.beat.cb(&hubs[i].peers.beat, hubs[i].peers.beat.user);
}

static void seconds(int n)
{
    while (n-- > 0) {
        beat();
        settle();
    }
}

static int set_up(void **state)
{
    struct hub_config config;

    (void)state;
    clock_ms = 1000000;
    loop = net_loop_new(NULL, NULL);
    hub_config_defaults(&config);
    for (int i = 0; i < MAX_HUBS; i++)
        if (start(&hubs[i], i, &config) < 0)
            return -1;
    for (int i = 0; i < MAX_HUBS; i++)
        fake_bus_set_up(&hubs[i].bus, true);
    settle();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < MAX_HUBS; i++)
        if (hubs[i].alive)
            end(&hubs[i]);
    fake_bus_lose();
    net_loop_free(loop);
    return 0;
}

/* What events.c does. */
static void attach(struct one_hub *h, int s, const char *id, int64_t now_us)
{
    struct hub_nuc *nuc = hub_registry_attach(&h->registry, &h->sockets[s],
                                              sio_str_from(id), now_us, clock_ms);

    if (nuc)
        hub_peers_tell(&h->peers, nuc);
}

static void detach(struct one_hub *h, int s)
{
    if (hub_registry_is_last(&h->sockets[s]))
        hub_peers_tell_gone(&h->peers, h->sockets[s].nuc);
    hub_registry_detach(&h->registry, &h->sockets[s], clock_ms);
}

static void register_cameras(struct one_hub *h, int s, const char *list)
{
    struct hub_nuc *nuc = h->sockets[s].nuc;

    nuc->own.streams = true;
    if (hub_registry_set_camaras(&h->registry, nuc, sio_str_from(list), clock_ms) ==
        SIO_OK)
        hub_peers_tell(&h->peers, nuc);
}

/* id@hub with its cameras, in order. */
static char *listed(const struct one_hub *h)
{
    static char out[MAX_HUBS][65536];
    char *text = out[h - hubs];
    size_t len = 0;
    struct hub_nuc *nuc;

    text[0] = '\0';
    list_for_each (nuc, struct hub_nuc, link, &h->registry.nucs) {
        const struct sio_buf *b = nuc->now->camaras;

        len += (size_t)snprintf(text + len, sizeof(out[0]) - len, "%s@%c%.*s ", nuc->id,
                                nuc->now->hub[4], b && b->len < 100 ? (int)b->len : 0,
                                b ? (const char *)b->data : "");
    }
    return text;
}

static void assert_all_list(const char *wanted)
{
    for (int i = 0; i < MAX_HUBS; i++)
        if (hubs[i].alive)
            assert_string_equal(listed(&hubs[i]), wanted);
}

static void hubs_find_each_other_and_list_the_same(void **state)
{
    (void)state;
    assert_int_equal(hub_peers_n(&hubs[0].peers), 3);
    attach(&hubs[0], 0, "norte", 10);
    attach(&hubs[1], 0, "sur", 5);
    attach(&hubs[2], 0, "este", 10);
    register_cameras(&hubs[0], 0, "[\"192.0.2.1\"]");
    fake_bus_deliver();
    assert_all_list("sur@b este@c norte@a[\"192.0.2.1\"] ");
    assert_true(
        hub_registry_agent_of(&hubs[2].registry, SIO_STR("192.0.2.1"))->now->streams);
    assert_true(hub_nuc_is_remote(
        hub_registry_agent_of(&hubs[2].registry, SIO_STR("192.0.2.1"))));
    detach(&hubs[1], 0);
    fake_bus_deliver();
    assert_all_list("este@c norte@a[\"192.0.2.1\"] ");
    assert_true(hubs[0].n_left > 0);
}

static void a_hub_that_comes_later_hears_all(void **state)
{
    struct hub_config config;

    (void)state;
    kill_hub(&hubs[2]);
    attach(&hubs[0], 0, "norte", 10);
    attach(&hubs[1], 0, "sur", 5);
    seconds(6);
    hub_config_defaults(&config);
    assert_int_equal(start(&hubs[2], 4, &config), SIO_OK);
    fake_bus_set_up(&hubs[2].bus, true);
    settle();
    settle();
    assert_all_list("sur@b norte@a ");
    assert_int_equal(hub_peers_n(&hubs[0].peers), 3);
}

static void an_agent_that_moves_is_listed_once(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    register_cameras(&hubs[0], 0, "[\"patio\"]");
    fake_bus_deliver();
    attach(&hubs[1], 0, "norte", 20); /* the old connection has not ended */
    fake_bus_deliver();
    assert_all_list("norte@b ");
    assert_true(hubs[0].n_moved > 0);
    register_cameras(&hubs[1], 0, "[\"patio\",\"calle\"]");
    fake_bus_deliver();
    assert_all_list("norte@b[\"patio\",\"calle\"] ");
    detach(&hubs[0], 0);
    fake_bus_deliver();
    assert_all_list("norte@b[\"patio\",\"calle\"] ");
    detach(&hubs[1], 0);
    fake_bus_deliver();
    assert_all_list("");
}

static void the_older_connection_counts_when_the_newer_ends(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    register_cameras(&hubs[0], 0, "[\"patio\"]");
    attach(&hubs[1], 0, "norte", 20);
    fake_bus_deliver();
    assert_all_list("norte@b ");
    detach(&hubs[1], 0);
    fake_bus_deliver();
    assert_all_list("norte@a[\"patio\"] ");
    /* And a second one to the same hub counts more than what came between. */
    attach(&hubs[2], 0, "norte", 30);
    fake_bus_deliver();
    attach(&hubs[0], 1, "norte", 25); /* whose clock is late */
    fake_bus_deliver();
    assert_all_list("norte@a[\"patio\"] ");
}

static void hubs_agree_on_who_wins_a_tie(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    attach(&hubs[1], 0, "norte", 10);
    attach(&hubs[2], 0, "norte", 10);
    fake_bus_deliver();
    assert_all_list("norte@c ");
}

static void what_was_lost_shows_in_the_next_beat(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    assert_int_equal(fake_bus_lose(), 1);
    assert_string_equal(listed(&hubs[1]), "");
    seconds(1);
    assert_all_list("norte@a ");
    attach(&hubs[0], 1, "sur", 20);
    fake_bus_lose();
    detach(&hubs[0], 0); /* this one shows the gap at once */
    settle();
    assert_all_list("sur@a ");
    assert_true(hubs[1].peers.stats.n_gaps > 0);
}

static void a_large_state_comes_in_parts(void **state)
{
    struct hub_nuc_socket many[40];
    char list[HUB_CAMARAS_MAX_BYTES + 1];
    struct one_hub *h = &hubs[0];

    (void)state;
    memset(list, ' ', sizeof(list));
    list[0] = '[';
    list[sizeof(list) - 2] = ']';
    list[sizeof(list) - 1] = '\0';
    hubs[1].bus.deaf = true;
    for (int i = 0; i < 40; i++) {
        char id[16];
        struct hub_nuc *nuc;

        snprintf(id, sizeof(id), "n%02d", i);
        many[i] = (struct hub_nuc_socket){.nuc = NULL};
        list_init(&many[i].link);
        nuc =
            hub_registry_attach(&h->registry, &many[i], sio_str_from(id), i, clock_ms);
        assert_int_equal(
            hub_registry_set_camaras(&h->registry, nuc, sio_str_from(list), clock_ms),
            SIO_OK);
        hub_peers_tell(&h->peers, nuc);
    }
    fake_bus_deliver();
    assert_string_equal(listed(&hubs[2]), listed(&hubs[0]));
    hubs[1].bus.deaf = false;
    beat();
    fake_bus_deliver();
    h->bus.n_published = 0;
    tell(h);
    assert_true(h->bus.n_published > 10);
    fake_bus_deliver();
    assert_string_equal(listed(&hubs[1]), listed(&hubs[0]));
    for (int i = 0; i < 40; i++)
        hub_registry_detach(&h->registry, &many[i], clock_ms);
}

static void a_hub_that_is_silent_has_died(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    attach(&hubs[1], 0, "sur", 20);
    settle();
    kill_hub(&hubs[0]);
    seconds(3);
    assert_string_equal(listed(&hubs[1]), "norte@a sur@b ");
    seconds(2);
    assert_all_list("sur@b ");
    assert_int_equal(hubs[1].n_gone, 1);
    assert_int_equal(hub_peers_n(&hubs[1].peers), 2);
}

static void a_hub_that_stood_still_comes_back(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    attach(&hubs[1], 0, "sur", 20);
    settle();
    hubs[0].frozen = hubs[0].bus.deaf = true;
    seconds(10);
    assert_string_equal(listed(&hubs[1]), "sur@b ");
    hubs[0].frozen = hubs[0].bus.deaf = false;
    /* It has not heard the others for long, but itself neither. */
    seconds(1);
    assert_int_equal(hub_peers_n(&hubs[0].peers), 3);
    seconds(1);
    assert_all_list("norte@a sur@b ");
}

static void a_hub_that_leaves_says_so(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    settle();
    hub_peers_stop(&hubs[0].peers);
    detach(&hubs[0], 0); /* which is nobody's business any more */
    fake_bus_deliver();
    assert_string_equal(listed(&hubs[1]), "");
    assert_int_equal(hub_peers_n(&hubs[1].peers), 2);
    seconds(2);
    assert_int_equal(hub_peers_n(&hubs[1].peers), 2);
}

static void set_all_up(bool up)
{
    for (int i = 0; i < MAX_HUBS; i++)
        fake_bus_set_up(&hubs[i].bus, up);
}

static void hubs_keep_each_other_while_redis_is_away(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    attach(&hubs[1], 0, "sur", 20);
    settle();
    assert_true(hub_peers_up(&hubs[0].peers));
    set_all_up(false);
    seconds(30);
    assert_false(hub_peers_up(&hubs[0].peers));
    assert_all_list("norte@a sur@b ");
    /* An agent moves where nobody hears of it. */
    detach(&hubs[0], 0);
    attach(&hubs[2], 0, "norte", 30);
    assert_string_equal(listed(&hubs[2]), "sur@b norte@c ");
    set_all_up(true);
    assert_int_equal(hubs[1].n_up, 2);
    settle();
    seconds(1);
    assert_all_list("sur@b norte@c ");
    set_all_up(false);
    seconds(62);
    assert_string_equal(listed(&hubs[2]), "norte@c ");
    set_all_up(true);
    settle();
    seconds(1);
    assert_all_list("sur@b norte@c ");
}

/* A Redis that hangs: the connection is there, and nothing comes. */
static void nobody_dies_of_a_redis_that_hangs(void **state)
{
    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    settle();
    for (int i = 0; i < 20; i++) {
        beat();
        fake_bus_lose();
    }
    assert_all_list("norte@a ");
    assert_false(hub_peers_up(&hubs[1].peers));
    seconds(1);
    assert_all_list("norte@a ");
    assert_int_equal(hubs[0].n_gone, 0);
}

static void heartbeats_come_with_the_beat(void **state)
{
    struct hub_nuc *nuc;

    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    settle();
    hubs[0].sockets[0].nuc->own.heartbeat_us = 4000000000000000;
    seconds(1);
    nuc = hub_registry_find_nuc(&hubs[1].registry, SIO_STR("norte"));
    assert_int_equal(nuc->now->heartbeat_us, 4000000000000000);
}

static void rubbish_is_ignored_and_counted(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "\x80\x04\x95",
        "{\"type\":\"beat\"}",
        "[[[[[[[[[[[[[[[[[[[[",
        "{\"type\":\"nuc\",\"hub\":\"hub-z---------------\",\"version\":1,\"nucs\":5}",
    };

    (void)state;
    attach(&hubs[0], 0, "norte", 10);
    settle();
    for (size_t i = 0; i < N_ELEMENTS(bad); i++)
        fake_bus_inject("k:hubs", bad[i], strlen(bad[i]));
    settle();
    assert_int_equal(hubs[1].peers.stats.n_rejected, N_ELEMENTS(bad));
    seconds(1);
    assert_all_list("norte@a ");
}

static void strangers_are_bounded_and_die(void **state)
{
    char text[256];

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(text, sizeof(text),
                 "{\"type\":\"state\",\"hub\":\"stranger---------%03d\",\"version\":1,"
                 "\"part\":0,\"parts\":1,\"nucs\":[{\"nuc\":\"x%d\",\"epoch\":1}]}",
                 i, i);
        fake_bus_inject("k:hubs", text, strlen(text));
    }
    settle();
    assert_int_equal(hub_peers_n(&hubs[0].peers), 1 + HUB_PEERS_MAX);
    seconds(6);
    assert_int_equal(hub_peers_n(&hubs[0].peers), 3);
    assert_all_list("");
}

static void a_message_goes_to_one_hub(void **state)
{
    struct hub_peer *to = container_of(hubs[0].peers.all.next, struct hub_peer, link);
    struct wbuf w;
    int n = 0;

    (void)state;
    hub_peers_begin(&hubs[0].peers, &w, HUB_WIRE_WATCH);
    hub_wire_text(&w, "ip", "patio");
    assert_int_equal(hub_peers_send(&hubs[0].peers, to, &w), SIO_OK);
    fake_bus_deliver();
    for (int i = 0; i < MAX_HUBS; i++)
        n += strcmp(hubs[i].message, "patio") == 0;
    assert_int_equal(n, 1);
}

/* Whatever happens and is lost: when it is quiet, all list the same, and what is true. */
static void hubs_agree_after_any_mishap(void **state)
{
    (void)state;
    srand(1);
    for (int round = 0; round < 300; round++) {
        for (int n = 0; n < 20; n++) {
            struct one_hub *h = &hubs[rand() % MAX_HUBS];
            int s = rand() % SOCKETS;
            char id[2] = {(char)('m' + rand() % 4), '\0'};

            switch (rand() % 8) {
            case 0: fake_bus_lose(); break;
            case 1: beat(); break;
            case 2: settle(); break;
            case 3: h->bus.deaf = rand() % 2; break;
            case 4: fake_bus_set_up(&h->bus, rand() % 2); break;
            default:
                if (h->sockets[s].nuc)
                    detach(h, s);
                else
                    attach(h, s, id, (int64_t)clock_ms);
                break;
            }
        }
        for (int i = 0; i < MAX_HUBS; i++)
            hubs[i].bus.deaf = false;
        set_all_up(true);
        settle();
        seconds(2);
        assert_string_equal(listed(&hubs[0]), listed(&hubs[1]));
        assert_string_equal(listed(&hubs[0]), listed(&hubs[2]));
        for (int i = 0; i < MAX_HUBS; i++)
            for (int s = 0; s < SOCKETS; s++)
                if (hubs[i].sockets[s].nuc)
                    assert_non_null(
                        strstr(listed(&hubs[0]), hubs[i].sockets[s].nuc->id));
    }
}

static void survives_the_want_of_memory(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        attach(&hubs[0], 0, "norte", 10);
        if (hubs[0].sockets[0].nuc)
            register_cameras(&hubs[0], 0, "[\"patio\"]");
        fake_bus_deliver();
        attach(&hubs[1], 0, "norte", 20);
        fake_bus_deliver();
        beat();
        settle();
        if (hubs[0].sockets[0].nuc)
            detach(&hubs[0], 0);
        if (hubs[1].sockets[0].nuc)
            detach(&hubs[1], 0);
        settle();
        alloc_fail_pause();
        seconds(2);
        alloc_fail_resume();
        assert_all_list("");
    }
}

/* A change, and a whole state, for which there was no room when they came. */
static void asks_again_for_what_it_had_no_memory_for(void **state)
{
    (void)state;
    alloc_fail_each(n)
    {
        alloc_fail_pause();
        attach(&hubs[0], 0, "norte", 10);
        alloc_fail_resume();
        fake_bus_deliver(); /* the change */
        seconds(2);
        assert_all_list("norte@a ");
        alloc_fail_pause();
        attach(&hubs[0], 1, "sur", 20);
        fake_bus_lose();
        seconds(3); /* the state */
        assert_all_list("norte@a sur@a ");
        detach(&hubs[0], 0);
        detach(&hubs[0], 1);
        settle();
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(hubs_find_each_other_and_list_the_same),
        TEST(a_hub_that_comes_later_hears_all),
        TEST(an_agent_that_moves_is_listed_once),
        TEST(the_older_connection_counts_when_the_newer_ends),
        TEST(hubs_agree_on_who_wins_a_tie),
        TEST(what_was_lost_shows_in_the_next_beat),
        TEST(a_large_state_comes_in_parts),
        TEST(a_hub_that_is_silent_has_died),
        TEST(a_hub_that_stood_still_comes_back),
        TEST(a_hub_that_leaves_says_so),
        TEST(hubs_keep_each_other_while_redis_is_away),
        TEST(nobody_dies_of_a_redis_that_hangs),
        TEST(heartbeats_come_with_the_beat),
        TEST(rubbish_is_ignored_and_counted),
        TEST(strangers_are_bounded_and_die),
        TEST(a_message_goes_to_one_hub),
        TEST(hubs_agree_after_any_mishap),
        TEST(survives_the_want_of_memory),
        TEST(asks_again_for_what_it_had_no_memory_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
