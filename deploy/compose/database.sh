#!/bin/sh
# Makes the role that nodes connect as, no superuser: row-level security does not hold for one.
set -eu
psql -v ON_ERROR_STOP=1 -v password="$ROLE_PASSWORD" -U postgres <<'SQL'
CREATE ROLE mainstay LOGIN PASSWORD :'password';
CREATE DATABASE mainstay OWNER mainstay;
SQL
