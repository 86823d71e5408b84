/* Sources of sequences of ids: windows of a long text, and sequences of different lengths.
 *
 *     sw_array ids = sw_tokenizer_encode(tokenizer, text, bytes);   // tokenizer.h
 *     const int64_t n = ids.shape[0], validation = n / 10;
 *     sw_array first = sw_array_view(ids.data, SW_I32, SW_SHAPE(n - validation)),
 *              last = sw_array_view((int32_t *)ids.data + n - validation, SW_I32, SW_SHAPE(validation));
 *     sw_source *train = sw_windows(&first, 64, NULL);
 *     sw_source *test = sw_windows(&last, 64, &SW_OPTIONS(sw_windows_options, .stride = 64));
 *
 * A batch is x i32 [batch, length] and y i32 [batch, length], the class ids that the logits [batch, length, classes] of
 * a network predict: sw_cross_entropy, sw_model_objective and sw_model_evaluate accept these shapes. A loader or an
 * estimator draws the windows in random order, or with replacement. */
#ifndef SWALE_SEQUENCES_H
#define SWALE_SEQUENCES_H

#include <swale/source.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Windows ---- */

/* Options of sw_windows. */
typedef struct sw_windows_options {
    size_t size; /* sizeof(sw_windows_options) */
    int64_t
        stride; /* the distance between the beginnings of two windows; 0: 1. With `length`, windows do not overlap. */
    int64_t classes; /* the number of different ids, which are below it; 0: the largest id + 1 */
    bool copy;       /* the source keeps a copy; else it reads the ids in place, and they must outlive it */
} sw_windows_options;
/* A source of windows of `length` ids: sample i is x = ids[i·stride … i·stride + length), and y = the ids that follow
 * each of them, ids[i·stride + 1 … i·stride + length]. The number of samples is that of the windows that fit. ids is an
 * array [n] of type i32 or u8 with more than `length` ids, each at least 0. NULL after an error. options may be
 * NULL. */
SW_API sw_source *sw_windows(const sw_array *ids, int64_t length, const sw_windows_options *options);

/* ---- Sequences of different lengths ---- */

/* The target of a place without target. A loss ignores it:
 *
 *     static sw_tensor loss(sw_tensor logits, sw_tensor y) {
 *         return sw_cross_entropy_with_options(logits, y, &SW_OPTIONS(sw_cross_entropy_options, .ignore = true,
 *                                                                     .ignored_id = SW_NO_TARGET));
 *     }
 *
 * Its mean is that of the other targets, also over several batches, and sw_model_evaluate does not count them either.
 * The number is that of PyTorch (ignore_index). */
enum { SW_NO_TARGET = -100 };

/* Options of sw_padded_sequences. */
typedef struct sw_padded_sequences_options {
    size_t size;        /* sizeof(sw_padded_sequences_options) */
    int64_t length;     /* the length of x; 0: that of the longest sequence */
    bool truncate;      /* leave out what a sequence has after `length` ids; else a longer sequence is an error */
    int32_t padding_id; /* the id in x behind the end of a sequence */
    /* NULL: the targets y [length] of a sequence are the ids that follow each of its ids, and SW_NO_TARGET at its last
     * id and behind it. Else the class ids [n] of the sequences, i32 or u8: y is one class id. */
    const sw_array *labels;
    int64_t classes; /* the number of classes, of ids or labels, which are below it; 0: the largest one + 1 */
    bool copy;       /* the source keeps copies; else it reads the ids and labels in place, and they must outlive it */
} sw_padded_sequences_options;
/* A source of n sequences of different lengths, which are padded to the same length. ids [total] (i32 or u8, each at
 * least 0) has the ids of all sequences, one after another; lengths [n] (i32 or i64) says how many each of them has: at
 * least 2, or with labels at least 1. NULL after an error. options may be NULL.
 *
 * If the padding id does not occur in sequences (for example the number of tokens; an embedding then has one row more),
 * a network finds the padding in x: the mask sw_equal(x, id) is u8 [batch, length], 1 at the places behind the end,
 * where `id` is the scalar sw_constant(x.tape, SW_I32, padding_id). */
SW_API sw_source *sw_padded_sequences(const sw_array *ids, const sw_array *lengths,
                                      const sw_padded_sequences_options *options);

#ifdef __cplusplus
}
#endif
#endif
