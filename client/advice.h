/*
 * advice.h - what a person at the hospital can do about an order that waits
 *
 * What leaves names no folder of the hospital; its own log does, for it never leaves.
 */
#ifndef CLIENT_ADVICE_H
#define CLIENT_ADVICE_H

#include "client/home.h"
#include "client/order.h"

/* Logs it; nothing where there is nothing to do. */
void advice_log(const home *h, order_outcome why);

#endif
