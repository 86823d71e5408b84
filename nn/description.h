/* Descriptions: networks as text, for the authors of layer types. sw_model_save (nn.h) writes the description of a
 * network next to its parameters, and sw_model_new_from_file makes the network from the file alone.
 *
 * A custom layer can be described if its type has the functions `save` and `restore` (module.h), which write and read
 * its settings, and is registered:
 *
 *     static sw_status scale_save(const sw_module *m, sw_description *to) {
 *         return sw_description_set_number(to, "factor", ((const scale *)m->data)->factor);
 *     }
 *     static sw_module *scale_restore(sw_model *model, const sw_description *from) {
 *         double factor;
 *         if (sw_description_number(from, "factor", -10, 10, &factor) != SW_OK)
 *             return sw_module_fail(model);
 *         return scale_new(model, factor);
 *     }
 *     ...
 *     sw_module_type_register(&scale_type);                        // once, before a file is read
 *
 * The library saves and restores the rest: inner layers, names, ties, frozen layers and parameters, roles, the shapes
 * of the inputs, the types and the seed. Methods for initial values are not saved, because they are functions. A
 * restored model has the values of the file, and sw_params_reinitialize uses the default methods of its layers.
 *
 * The text is JSON. The file contains it as the text "network" of the archive (archive.h):
 *
 *     {"format":1,"inputs":[[784]],"parameters":{"linear1.bias":{"role":"bias"},…},
 *      "root":{"layers":[{"name":"linear1","settings":{"bias":1,"inputs":784,"outputs":100},"type":"linear"},…],
 *              "name":"sequential1","type":"sequential"},"seed":"42","type":"f32"}
 *
 * "type" is the type of x. A model whose storage type (params.h) is another one also has "storage": "f16" or "bf16".
 */
#ifndef SWALE_DESCRIPTION_H
#define SWALE_DESCRIPTION_H

#include <swale/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- For the `save` of a layer type ---- */

/* Write one setting of the layer. Keys are UTF-8, and each key is written once; numbers must be finite. */
SW_API sw_status sw_description_set_integer(sw_description *to, const char *key, int64_t value);
SW_API sw_status sw_description_set_number(sw_description *to, const char *key, double value);
SW_API sw_status sw_description_set_text(sw_description *to, const char *key, const char *text);
SW_API sw_status sw_description_set_integers(sw_description *to, const char *key, int count, const int64_t *values);

/* ---- For the `restore` of a layer type ---- */

/* Read one setting. An error (SW_ERR_FORMAT) if it is missing, has another kind of value, or is outside the range from
 * least to most; *value does not change then. A setting that `restore` does not read is an error too. */
SW_API sw_status sw_description_integer(const sw_description *from, const char *key, int64_t least, int64_t most,
                                        int64_t *value);
SW_API sw_status sw_description_number(const sw_description *from, const char *key, double least, double most,
                                       double *value);
/* Valid until restore returns; NULL after an error. */
SW_API const char *sw_description_text(const sw_description *from, const char *key);
/* Reads at most `capacity` integers to values[]; *count receives their number. A longer list is an error. */
SW_API sw_status sw_description_integers(const sw_description *from, const char *key, int64_t least, int64_t most,
                                         int capacity, int *count, int64_t *values);
/* Whether the setting exists. Use it for a setting that a later version of the type has added. */
SW_API bool sw_description_has(const sw_description *from, const char *key);
/* The name of the type, for a function that several types share: "relu". */
SW_API const char *sw_description_type(const sw_description *from);
/* The inner layers of the saved layer, restored, in their order. `restore` must add all of them to the layer that it
 * makes, in this order (by sw_module_add_child, or a function such as sw_nn_sequential_array). */
SW_API sw_module *const *sw_description_layers(const sw_description *from, int *count);

/* ---- Registration ---- */

/* Adds a type with the functions save and restore, for all models of the process; `type` must remain valid. An error if
 * another type, registered or of the library, has the same name. Adding a type again does nothing. At most 256 types.
 * For a layer of sw_nn_compose, register a type whose name is the `kind` of the layer, whose `save` is that of
 * sw_compose_options, and whose only other function is `restore`. */
SW_API sw_status sw_module_type_register(const sw_module_type *type);
/* The type with a name, of the library or registered; NULL without an error if there is none. */
SW_API const sw_module_type *sw_module_type_find(const char *name);
/* All these types by index, from 0; NULL: no such index. */
SW_API const sw_module_type *sw_module_type_at(int index);

#ifdef __cplusplus
}
#endif
#endif
