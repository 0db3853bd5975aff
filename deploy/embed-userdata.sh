#!/usr/bin/env bash
# Writes userdata/bootstrap.sh into deploy/stacks/web.yaml, where both launch templates find it. Run it after each change of the
# script. A literal block of YAML holds any text byte for byte that begins without a space, ends with one newline and has no CR.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$root/userdata/bootstrap.sh
template=$root/deploy/stacks/web.yaml

die() {
    echo "$*" >&2
    exit 1
}

[ "$(head -c 2 "$script")" = '#!' ] || die "$script must begin with #!, so that machines run it."
[ "$(tail -c 1 "$script" | od -An -tx1)" = ' 0a' ] || die "$script must end with a newline."
[ "$(tail -c 2 "$script" | od -An -tx1)" != ' 0a 0a' ] || die "$script must not end with an empty line."
! grep -q $'\r' "$script" || die "$script has carriage returns: write it with newlines alone."

new=$(mktemp "$template.XXXXXX")
trap 'rm -f "$new"' EXIT
awk -v script="$script" '
    /^Resources:$/ { inside = 0 }
    !inside { print }
    /^      Text: \|$/ {
        inside = 1
        found++
        while ((getline line < script) > 0) print line == "" ? "" : "        " line
        print ""
    }
    END { exit found != 1 }
' "$template" >"$new" || die "$template has no single line \"Text: |\" under Mappings, Script, Bootstrap."

if cmp -s "$new" "$template"; then
    echo "${template#"$root/"} has this ${script#"$root/"} already."
else
    cat "$new" >"$template"
    echo "${script#"$root/"} is written into ${template#"$root/"}."
fi
