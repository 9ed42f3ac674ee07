#!/bin/sh
# Make a primary of a standby of PostgreSQL, once nobody can write the old primary any more. A crawl whose address has
# both servers goes on by itself.
#
#     promote-standby.sh PRIMARY STANDBY FENCE...
#
# PRIMARY and STANDBY are connection strings, such as "host=b.test user=postgres", for a superuser. FENCE is a command
# that stops the old primary, and keeps it from being started again. Unless it succeeds, and the old primary answers
# nobody, nothing is promoted.
set -eu

fail() {
    printf 'promote-standby: %s\n' "$1" >&2
    exit 1
}

tell_standby() {
    psql --no-psqlrc --no-align --tuples-only --quiet --dbname="$standby" --command="$1"
}

[ $# -ge 3 ] || fail 'write promote-standby.sh PRIMARY STANDBY FENCE...'
primary=$1
standby=$2
shift 2

[ "$(tell_standby 'SELECT pg_is_in_recovery()')" = t ] || fail "$standby is no standby: nothing was changed"
"$@" || fail "the old primary may be running, since this has failed: $*; nothing was promoted"
answer=0
pg_isready --quiet --dbname="$primary" || answer=$?
[ "$answer" = 2 ] || fail "$primary still answers: nothing was promoted; stop it, and run this again"

# A primary without standbys: no commit must wait for one.
tell_standby "ALTER SYSTEM SET synchronous_standby_names = ''"
tell_standby 'SELECT pg_reload_conf()' >/dev/null
[ "$(tell_standby 'SELECT pg_promote()')" = t ] || fail "$standby was not promoted within a minute: its log says why"
echo "$standby is the primary now. Make a standby of the old one before you start it again."
