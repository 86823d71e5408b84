/* The built-in methods in the order of sw_optim_list, one line each: METHOD(name) stands for the constant swo_NAME in
 * the file of the method. registry.c includes no other declaration of the methods. */

#define SWO_BUILTIN_ESTIMATORS(METHOD) \
    METHOD(minibatch)                  \
    METHOD(full)                       \
    METHOD(sag)                        \
    METHOD(saga)                       \
    METHOD(svrg)                       \
    METHOD(sam)                        \
    METHOD(asam)

#define SWO_BUILTIN_RULES(METHOD) \
    METHOD(sgd)                   \
    METHOD(asgd)                  \
    METHOD(rprop)                 \
    METHOD(adagrad)               \
    METHOD(rmsprop)               \
    METHOD(adadelta)              \
    METHOD(adam)                  \
    METHOD(amsgrad)               \
    METHOD(adamw)                 \
    METHOD(nadam)                 \
    METHOD(nadamw)                \
    METHOD(nadamp)                \
    METHOD(generalized_adam)      \
    METHOD(radam)                 \
    METHOD(adamax)                \
    METHOD(adafactor)             \
    METHOD(lion)                  \
    METHOD(fromage)               \
    METHOD(nag_gs)                \
    METHOD(amos)                  \
    METHOD(muon)                  \
    METHOD(shampoo)               \
    METHOD(distributed_shampoo)   \
    METHOD(caspr)                 \
    METHOD(soap)                  \
    METHOD(fista)                 \
    METHOD(schedule_free_sgd)     \
    METHOD(schedule_free_adamw)   \
    METHOD(prodigy)               \
    METHOD(schedule_free_prodigy) \
    METHOD(lbfgs)

#define SWO_BUILTIN_SCHEDULES(METHOD) \
    METHOD(constant)                  \
    METHOD(step)                      \
    METHOD(exponential)               \
    METHOD(linear)                    \
    METHOD(polynomial)                \
    METHOD(inverse_sqrt)              \
    METHOD(inverse_time)              \
    METHOD(cosine)                    \
    METHOD(restarts)                  \
    METHOD(cosine_cycles)             \
    METHOD(cyclic)                    \
    METHOD(one_cycle)

#define SWO_BUILTIN_LINE_SEARCHES(METHOD) \
    METHOD(armijo)                        \
    METHOD(wolfe)

#define SWO_BUILTIN_AVERAGES(METHOD) \
    METHOD(none)                     \
    METHOD(ema)                      \
    METHOD(polyak)                   \
    METHOD(swa)                      \
    METHOD(lawa_queue)               \
    METHOD(lawa_ema)
