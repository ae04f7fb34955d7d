/*
 * peer.h - a light Socket.IO client over WebSocket, many in one thread
 *
 * It knows as much of the protocols as a benchmark needs.  Long payloads are thrown
 * away inside the kernel (MSG_TRUNC), so that 500 viewers cost the machine little
 * beside the server.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_HEAD 192 /* bytes of each message that are looked at */

enum peer_state {
    PEER_DIALLING,
    PEER_UPGRADING, /* request sent */
    PEER_OPENING,   /* 101 seen, open packet due */
    PEER_JOINING,   /* CONNECT sent */
    PEER_READY,
    PEER_CLOSED,
};

struct peer {
    struct peer_pool *pool;
    int fd;
    enum peer_state state;
    bool deaf;                  /* never reads once it is ready */
    bool watching_out;          /* EPOLLOUT is on */
    uint32_t events;            /* messages since it became ready */
    uint64_t sent_ns;           /* for the owner: when its request left */
    uint64_t message_len, left; /* of the frame being read; left to come */
    uint32_t head_len;          /* bytes in head[] */
    uint8_t head[PEER_HEAD];    /* frame header and first bytes */
    const uint8_t *out;         /* borrowed; must live until it is sent */
    size_t out_len;
    uint8_t small[256]; /* own room for short messages */
};

struct peer_pool {
    int epoll_fd;
    struct sockaddr_in addr;
    const char *path; /* before "EIO=4", e.g. "/socket.io/?" */
    int n_failed, n_closed;

    void (*on_ready)(struct peer *p, void *user);
    /* One whole text message: its first bytes and its length. */
    void (*on_message)(struct peer *p, const uint8_t *head, size_t head_len,
                       uint64_t len, void *user);
    void (*on_closed)(struct peer *p, void *user);
    void *user;
};

int peer_pool_init(struct peer_pool *pool, const char *host, int port);
void peer_pool_fini(struct peer_pool *pool);
/* Of those that are dialled from now on. */
void peer_pool_port(struct peer_pool *pool, int port);

/* Dials; the rest happens in peer_pool_poll.  0, or -1 with errno. */
int peer_dial(struct peer *p, struct peer_pool *pool);
void peer_close(struct peer *p);

/* Waits at most timeout_ms (-1: for ever) and serves what is ready. */
void peer_pool_poll(struct peer_pool *pool, int timeout_ms);

/*
 * Makes a masked text frame of len bytes of text at out (room for len + 14).  Returns its
 * size.  The mask is MASK, so that bytes can be changed afterwards with peer_mask.
 */
size_t peer_frame(uint8_t *out, const char *text, size_t len);
/* Writes text over the payload of a frame at offset. */
void peer_frame_patch(uint8_t *frame, size_t offset, const char *text, size_t len);

/* Sends a frame (borrowed until it is gone).  False while an earlier one is not gone. */
bool peer_send(struct peer *p, const uint8_t *frame, size_t len);
bool peer_send_text(struct peer *p, const char *text,
                    size_t len); /* at most 200 bytes */

#endif
