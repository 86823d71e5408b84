static sw_status train_by_hand(const sw_objective *objective, sw_optim *optim, int64_t epochs,
                               sw_status (*evaluate)(const void *point, double mean_loss)) {
    SW_TRY(sw_optim_bind(optim, objective));
    int64_t steps = sw_optim_steps_per_epoch(optim, objective);
    SW_TRY(sw_optim_set_total_steps(optim, epochs * steps)); /* for schedules */
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        double loss;
        sw_loss_mean mean = {0};
        for (int64_t i = 0; i < steps; i++) {
            sw_status status = sw_optim_minimize(optim, objective, &loss);
            if (status == SW_OK)
                SW_TRY(sw_loss_mean_add_part(&mean, loss, sw_optim_loss_weight(optim)));
            else if (status != SW_SKIPPED) /* too many skipped steps in a row are an error */
                return status;
        }
        SW_TRY(evaluate(sw_optim_point(optim), sw_loss_mean_value(&mean)));
    }
    return SW_OK;
}
