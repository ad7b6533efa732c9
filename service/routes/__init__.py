"""The paths of the gateway, one file a resource."""
