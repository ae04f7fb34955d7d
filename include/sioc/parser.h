/*
 * sioc/parser.h - how packets are written on the wire
 *
 * Both sides must use the same parser; nothing on the wire says which.  Handlers do not
 * see the difference: arguments are JSON text and attachments with each of them.
 */
#ifndef SIOC_PARSER_H
#define SIOC_PARSER_H

enum sio_parser_kind {
    /* The protocol's own: JSON text, and each attachment a message behind it. */
    SIO_PARSER_JSON,

    /*
     * MessagePack, one binary message a packet, as the npm package
     * socket.io-msgpack-parser 3 and python-socketio's serializer "msgpack" write it.
     * Smaller where there are many numbers or attachments, at the price of a conversion
     * on either side.
     *
     * In:  integers keep all their 64 bits; NaN and infinities become null, dates ISO
     *      text, keys that are no text the text that JavaScript makes of them; a member
     *      that is `undefined` is left out.  Bytes that stand beside a map that reads
     *      like {"_placeholder": true} end the connection, as they cannot be told apart.
     * Out: a number without fraction is an integer where 64 bits (or a double, up to
     *      2^53) hold it exactly, else a double.
     */
    SIO_PARSER_MSGPACK,
};

#endif
