/* Advice for messages about samples that are not pictures or signals. */
#ifndef SWALE_NN_CHANNEL_HINT_H
#define SWALE_NN_CHANNEL_HINT_H

/* The end of a message about samples of this rank, given to a layer that needs `axes` axes and channels (2: pictures,
 * 1: sequences); empty if there is no advice. */
const char *swn_channel_hint(int axes, int rank);

#endif
