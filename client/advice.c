/*
 * advice.c - see advice.h
 */
#include "client/advice.h"

#include "base/log.h"

void advice_log(const home *h, order_outcome why)
{
    const char *site = h->site.text;
    if (why == ORDER_PENDING) {
        fl_log(FL_LOG_WARN, "order.next", "site=%s consilium-client approve --home %s", site,
               h->dir);
    } else if (why == ORDER_UNREADABLE || why == ORDER_MISMATCH) {
        fl_log(FL_LOG_WARN, "order.next",
               "site=%s the data set is %s, as %s/client.yaml says; `consilium-client check-data "
               "%s` tells more.  %sAfter a change of client.yaml, start this client again",
               site, h->data, h->dir, h->data,
               why == ORDER_UNREADABLE ? "This client goes on by itself when it can be read.  "
                                       : "");
    }
}
