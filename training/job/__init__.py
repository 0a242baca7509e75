"""What the trainer and the workers share: the job, the model, the tokens and the environment variables."""
