/* Texts as sequences of ids: a tokenizer of characters, and one of byte pairs.
 *
 *     size_t bytes;
 *     char *text = sw_text_load("novel.txt", &bytes);
 *     sw_tokenizer *tokenizer = sw_tokenizer_new_characters(text, bytes);
 *     sw_array ids = sw_tokenizer_encode(tokenizer, text, bytes);              // i32 [n]
 *     sw_source *train = sw_windows(&ids, 64, NULL);                           // sequences.h
 *     ...
 *     char *again = sw_tokenizer_decode(tokenizer, ids.data, ids.shape[0], NULL);
 *
 * A tokenizer is saved in the file of its model, as a text of the archive:
 *
 *     sw_archive *a = sw_archive_new();
 *     sw_model_pack(model, a, NULL);
 *     sw_tokenizer_pack(tokenizer, a);
 *     sw_archive_save(a, "novel.safetensors");
 *     sw_archive_free(a);
 *
 *     sw_model *model = sw_model_new_from_file("novel.safetensors");
 *     sw_tokenizer *tokenizer = sw_tokenizer_new_from_file("novel.safetensors");
 *
 * A tokenizer does not change after it was made, so that several threads may use it at the same time.
 */
#ifndef SWALE_TOKENIZER_H
#define SWALE_TOKENIZER_H

#include <swale/archive.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sw_tokenizer sw_tokenizer;

/* ---- Making a tokenizer ---- */

/* A tokenizer whose tokens are the characters of a text: its different Unicode code points, in ascending order, so that
 * ids do not depend on the order of the text. The text has `bytes` bytes of valid UTF-8; the first byte that is not is
 * an error that names its offset, and so is a text without characters. NULL after an error. */
SW_API sw_tokenizer *sw_tokenizer_new_characters(const char *text, size_t bytes);
/* A tokenizer of byte pairs (R. Sennrich, B. Haddow, A. Birch, ACL 2016) over bytes, as GPT-2 has one. The tokens 0 to
 * 255 are the bytes. Each further token joins two earlier ones, namely the pair that occurs most often in the text
 * after all joins so far; of pairs that occur equally often, it is the one with the smallest first id, then the
 * smallest second id. `text` may have any bytes; `tokens`, 256 to 2^20, is the number of tokens. If no pair occurs
 * twice any more, there are fewer (sw_tokenizer_count).
 *
 * Tokens do not extend over the pieces into which a text is split first. A piece is, as in GPT-2,
 *   - one of 's 't 'd 'm 're 've 'll;
 *   - letters, digits, or other characters than these and white space, each with a blank before them, if there is one;
 *   - white space: without the last character if another piece follows.
 * Letters are those of ASCII and all bytes from 0x80. For a text in ASCII, the pieces are those of GPT-2, up to two
 * limits: a longer piece is cut after 4,096 bytes, and a token has at most 256 bytes.
 *
 * The time is in proportion to `tokens` times the length of all different pieces, and to the length of the text. NULL
 * after an error. */
SW_API sw_tokenizer *sw_tokenizer_new_byte_pairs(const char *text, size_t bytes, int64_t tokens);
/* Frees a tokenizer. Accepts NULL. */
SW_API void sw_tokenizer_free(sw_tokenizer *tokenizer);

/* ---- Using it ---- */

/* The number of tokens, which is the number of rows of an embedding and of classes of a head. 0 for NULL. */
SW_API int64_t sw_tokenizer_count(const sw_tokenizer *tokenizer);
/* The bytes of a token, followed by a zero byte and valid until the tokenizer is freed; their number in *bytes (NULL:
 * not needed). Those of a token of byte pairs need not be valid UTF-8. NULL if there is no token with this id. */
SW_API const char *sw_tokenizer_at(const sw_tokenizer *tokenizer, int64_t id, size_t *bytes);
/* Converts a text to ids, i32 [n], which the caller frees by sw_array_free. Byte pairs accept any text: in each piece
 * the pair whose token has the smallest id is joined first, and of equal ones the leftmost. For characters, a byte that
 * is not UTF-8 and a character that the tokenizer does not have are errors that name the offset. data is NULL after an
 * error. */
SW_API sw_array sw_tokenizer_encode(const sw_tokenizer *tokenizer, const char *text, size_t bytes);
/* Converts `count` ids to a text, which the caller frees by sw_free; its length in *bytes (NULL: not needed). A zero
 * byte follows the text. For byte pairs, decoding restores any encoded text byte for byte. An id out of range is an
 * error that names its position. NULL after an error. */
SW_API char *sw_tokenizer_decode(const sw_tokenizer *tokenizer, const int32_t *ids, int64_t count, size_t *bytes);

/* ---- Saving and loading it ---- */

/* A description of the tokenizer as a text in ASCII, which the caller frees by sw_free. Equal tokenizers have equal
 * descriptions. It ends with a checksum (CRC-32). NULL after an error. */
SW_API char *sw_tokenizer_description(const sw_tokenizer *tokenizer);
/* Makes a tokenizer from its description. A text that sw_tokenizer_description does not write is an error
 * (SW_ERR_FORMAT): the checksum detects every change of up to 32 consecutive bits. NULL after an error. */
SW_API sw_tokenizer *sw_tokenizer_new_from_description(const char *text);
/* Sets the text "tokenizer" of an archive to the description. */
SW_API sw_status sw_tokenizer_pack(const sw_tokenizer *tokenizer, sw_archive *archive);
/* Makes a tokenizer from the text "tokenizer" of an archive, which may be freed afterwards. NULL and an error if there
 * is no such text, or if it is damaged. */
SW_API sw_tokenizer *sw_tokenizer_new_from_archive(const sw_archive *archive);
/* As sw_tokenizer_new_from_archive, from a file. Messages begin with the path. */
SW_API sw_tokenizer *sw_tokenizer_new_from_file(const char *path);

/* ---- Text files ---- */

/* Reads a file, plain or compressed by gzip, as one text of any bytes, which the caller frees by sw_free; its length in
 * *bytes (NULL: not needed). A zero byte follows the text. Nothing is changed or left out. NULL and an error that
 * begins with the path. */
SW_API char *sw_text_load(const char *path, size_t *bytes);

#ifdef __cplusplus
}
#endif
#endif
