"""The list of runs, and the dialogs that stop and resume one."""
