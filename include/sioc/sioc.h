/*
 * sioc/sioc.h - everything: Socket.IO server and client, Engine.IO, the loop
 */
#ifndef SIOC_SIOC_H
#define SIOC_SIOC_H

#include <sioc/admin.h>
#include <sioc/bytes.h>
#include <sioc/client.h>
#include <sioc/cluster.h>
#include <sioc/engineio.h>
#include <sioc/error.h>
#include <sioc/http.h>
#include <sioc/loop.h>
#include <sioc/message.h>
#include <sioc/parser.h>
#include <sioc/server.h>
#include <sioc/simple.h>

#endif
