"""The back-office: told of what happens, by signed webhooks."""
