#!/bin/sh
# PostgreSQL's image runs this once, when its volume is empty: a database with an owner of its own for each of the two.
set -eu

psql --username "${POSTGRES_USER:-postgres}" --dbname postgres --set ON_ERROR_STOP=1 <<'SQL'
\getenv label_studio LABEL_STUDIO_DATABASE_PASSWORD
\getenv judge JUDGE_DATABASE_PASSWORD
CREATE ROLE label_studio LOGIN PASSWORD :'label_studio';
CREATE DATABASE label_studio OWNER label_studio;
REVOKE CONNECT ON DATABASE label_studio FROM PUBLIC;
CREATE ROLE vlm_judge LOGIN PASSWORD :'judge';
CREATE DATABASE vlm_judge OWNER vlm_judge;
REVOKE CONNECT ON DATABASE vlm_judge FROM PUBLIC;
SQL
