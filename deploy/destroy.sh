#!/usr/bin/env bash
# Deletes the stacks of a deployment, the last first, and says what stays behind, and how to remove that for good: the buckets of photos
# and releases, the user pool, a last snapshot of the database.
#
#   deploy/destroy.sh [OPTION...]
#
#     --name NAME          the deployment's name [photo-gallery]
#     --region REGION      the region [AWS_REGION, or the AWS CLI's configuration]
#     --yes                do not ask
#     --endpoint-url URL   an emulator of AWS in place of AWS
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program=destroy.sh
# shellcheck source=account.sh
source "$here/account.sh"
# shellcheck source=removal.sh
source "$here/removal.sh"

ask=true
while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) usage "$0"; exit ;;
    --yes) ask=false; shift ;;
    --*)
        [ $# -ge 2 ] || die "$1 wants a value; --help tells the options"
        shared_option "$1" "$2" || die "there is no option $1; --help tells the options"
        shift 2
        ;;
    *) die "\"$1\" is no option; --help tells them" ;;
    esac
done

enter_account awk
read_stacks
there=()
for ((at = ${#all_stacks[@]} - 1; at >= 0; at--)); do
    stack="$name-${all_stacks[at]}"
    if [ -n "${status_of[$stack]:-}" ]; then there+=("$stack"); fi
done
if [ ${#there[@]} = 0 ]; then
    say "There is no deployment $name here: there was nothing to do."
    exit
fi

# Protection holds for what is there. What never came up, or is half deleted, cannot be deployed to be without it.
protected=() unfinished=()
for stack in "${there[@]}"; do
    case "${status_of[$stack]}" in
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | DELETE_FAILED) unfinished+=("$stack") ;;
    *) case "${value_of["$stack DeletionProtection"]:-no}" in yes | true) protected+=(--only "${stack#"$name"-}") ;; esac ;;
    esac
done
[ ${#protected[@]} = 0 ] ||
    die "the deployment is protected from being deleted. To take the protection away: deploy/deploy.sh --name $name --region $region${endpoint[*]:+ ${endpoint[*]}} ${protected[*]} DeletionProtection=no"

databases=() functions=()
for stack in "${there[@]}"; do
    going "${id_of[$stack]}" staying >>"$scratch/remaining"
    going "${id_of[$stack]}" >>"$scratch/leaving"
done
while read -r type id; do
    case "$type" in
    AWS::RDS::DBInstance) databases+=("$id") ;;
    AWS::Lambda::Function) functions+=("$id") ;;
    esac
done < <(cat "$scratch/remaining" "$scratch/leaving")

say "These stacks will be deleted: ${there[*]}"
while read -r type id; do
    case "$type" in
    AWS::S3::BucketPolicy) ;;
    AWS::RDS::DBInstance) say "Of the database $id a last snapshot will stay." ;;
    *) say "$id ($type) will stay." ;;
    esac
done <"$scratch/remaining"
if $ask; then
    [ -t 0 ] || die "nobody is there to be asked: give --yes"
    read -r -p "To go on, type the deployment's name: " answer
    [ "$answer" = "$name" ] || die "nothing was deleted"
fi

for stack in "${unfinished[@]}"; do unprotect "${id_of[$stack]}"; done
for stack in "${there[@]}"; do
    say "${stack#"$name"-}: deleting the stack $stack"
    delete "${id_of[$stack]}" "$stack"
done
# What wrote a last line after its log group was deleted has made another, which nothing else would remove.
for prefix in "${databases[@]/#//aws/rds/instance/}" "${functions[@]/#//aws/lambda/}"; do
    while read -r group; do
        case "$group" in "$prefix" | "$prefix"/*) cloud logs delete-log-group --log-group-name "$group" ;; esac
    done < <(cloud logs describe-log-groups --log-group-name-prefix "$prefix" --query 'logGroups[].[logGroupName]')
done
while read -r type id; do remains "$type" "$id"; done <"$scratch/remaining"
say "The deployment $name is gone."
