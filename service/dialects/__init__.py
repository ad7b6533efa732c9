"""Wire protocols that other people's trainers speak, a module each, all on `service.requests.rewarding`."""
