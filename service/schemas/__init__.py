"""The shapes of requests and answers, named for the routes that have them; `base` is what they share."""
