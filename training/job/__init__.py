"""What trainer and workers share once torch's libraries are there: the job, the model, the tokens, the environ."""
