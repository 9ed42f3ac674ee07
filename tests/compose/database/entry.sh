#!/bin/sh
# Begin as the official image does, as far as docker-compose.yml asks for it: in an empty folder PGDATA, make the database
# POSTGRES_DB for the user POSTGRES_USER, who says the password of POSTGRES_PASSWORD_FILE over the network.
set -eu

PATH=/usr/lib/postgresql/15/bin:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth-local=trust --auth-host=scram-sha-256
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single postgres
fi
exec postgres
