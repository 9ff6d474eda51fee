"""What the end-to-end tests are written with: a server, a cluster, kubectl, raw HTTPS, and waiting for conditions."""
