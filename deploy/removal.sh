# shellcheck shell=bash
# shellcheck disable=SC2154 # account.sh sets what is not said here
# How a stack is taken away, with what stands in its way: protection, access logs that still come, and buckets with something in them.
# Sourced by deploy.sh, which removes what never came up, and by destroy.sh.

# Prints the logical ids of a stack's resources that outlive it, wholly or as a snapshot, as the deployed template says.
kept() {
    cloud cloudformation get-template --stack-name "$1" --query TemplateBody |
        awk '/^[A-Za-z]/ { inside = ($1 == "Resources:") }
            inside && /^  [A-Za-z0-9]+:/ { resource = $1; sub(/:.*/, "", resource) }
            inside && /^    DeletionPolicy: *(Retain|RetainExceptOnCreate|Snapshot)/ { print resource }'
}

# Prints "TYPE ID" for each resource of a stack that goes with it, or with `staying` for each that does not: going STACK-ID [staying]
going() {
    local logical type id
    cloud cloudformation describe-stack-resources --stack-name "$1" \
        --query "StackResources[?PhysicalResourceId && ResourceStatus!='DELETE_COMPLETE'].[LogicalResourceId, ResourceType, PhysicalResourceId]" \
        >"$scratch/resources" 2>"$scratch/error" || die "the resources of the stack $1 cannot be listed: $(last_line)"
    [ -s "$scratch/resources" ] || return 0
    kept "$1" >"$scratch/kept" 2>"$scratch/error" || die "the template of the stack $1 cannot be read: $(last_line)"
    while read -r logical type id; do
        if grep -qx "$logical" "$scratch/kept"; then
            [ -z "${2:-}" ] || echo "$type $id"
        else
            [ -n "${2:-}" ] || echo "$type $id"
        fi
    done <"$scratch/resources"
}

# What delete-objects takes: some hundred of all versions of all objects of a bucket.
some_versions="{Objects: [Versions, DeleteMarkers][][].{Key: Key, VersionId: VersionId}}"

# Removes all versions of all objects of a bucket. The list is too long for an argument.
empty() {
    local errors
    while cloud s3api list-object-versions --bucket "$1" --max-items 500 --query "$some_versions" --output json >"$scratch/objects" 2>"$scratch/error" ||
        die "the bucket $1 cannot be looked at: $(last_line)"; grep -q VersionId "$scratch/objects"; do
        errors="$(cloud s3api delete-objects --bucket "$1" --delete "file://$scratch/objects" --query 'Errors[0].[Key, Code, Message]' 2>"$scratch/error")" ||
            die "the bucket $1 cannot be emptied: $(last_line)"
        [ "$errors" = None ] || die "the bucket $1 cannot be emptied: $errors"
    done
}

# Has the load balancers of a stack write no more access logs: without this their bucket fills again while it is emptied.
end_access_logs() {
    local type id
    while read -r type id; do
        [ "$type" = AWS::ElasticLoadBalancingV2::LoadBalancer ] || continue
        change_load_balancer "$id" access_logs.s3.enabled
    done < <(going "$1")
}

# Turns an attribute of a load balancer off, where there still is one.
change_load_balancer() {
    cloud elbv2 modify-load-balancer-attributes --load-balancer-arn "$1" --attributes "Key=$2,Value=false" >/dev/null 2>"$scratch/error" ||
        grep -q LoadBalancerNotFound "$scratch/error" || die "the load balancer $1 cannot be changed: $(last_line)"
}

# Takes the protection against deletion from what goes with a stack: unprotect STACK-ID
# Of a database there stays a snapshot. What cannot be changed any more is gone already.
unprotect() {
    local type id
    while read -r type id; do
        case "$type" in
        AWS::ElasticLoadBalancingV2::LoadBalancer) change_load_balancer "$id" deletion_protection.enabled ;;
        AWS::RDS::DBInstance)
            cloud rds modify-db-instance --db-instance-identifier "$id" --no-deletion-protection --apply-immediately >/dev/null 2>"$scratch/error" ||
                grep -q DBInstanceNotFound "$scratch/error" || die "the database $id cannot be changed: $(last_line)"
            ;;
        esac
    done < <(going "$1"; going "$1" staying | grep '^AWS::RDS::')
}

# Deletes a stack, with what is in its buckets; the sentences say why where it stays: delete STACK-ID NAME
# A load balancer's last logs come some minutes after it was told to write no more: then its bucket is emptied again.
delete() {
    local token type id attempt buckets
    end_access_logs "$1"
    for attempt in 1 2 3; do
        going "$1" | awk '$1 == "AWS::S3::Bucket" { print $2 }' >"$scratch/buckets"
        buckets="$(wc -l <"$scratch/buckets")"
        [ "$attempt" = 1 ] || ((buckets > 0)) || break
        while read -r id; do
            say "${2#"$name"-}: emptying the bucket $id"
            empty "$id"
        done <"$scratch/buckets"
        token="delete-$$-$RANDOM"
        cloud cloudformation delete-stack --stack-name "$1" --client-request-token "$token" 2>"$scratch/error" || die "the stack $2 cannot be deleted: $(last_line)"
        wait_for "$1" "$token"
        [ "$settled" != DELETE_COMPLETE ] || return 0
    done
    reasons "$1" "$token"
    die "the stack $2 is $settled and not deleted: mend what is said above and run this again"
}

# Says of one thing that stays what it is and how it is removed: remains TYPE ID
remains() {
    local cli="aws --region $region${endpoint[*]:+ ${endpoint[*]}}" snapshot
    case "$1" in
    AWS::S3::Bucket)
        say "The bucket $2 stays, with all that is in it. To remove it for good:"
        say "  while $cli s3api list-object-versions --bucket $2 --max-items 500 --query '$some_versions' --output json >to-delete.json && grep -q VersionId to-delete.json; do $cli s3api delete-objects --bucket $2 --delete file://to-delete.json --query Errors --output text | grep -v None && break; done; rm -f to-delete.json"
        say "  $cli s3api delete-bucket --bucket $2"
        ;;
    AWS::Cognito::UserPool)
        say "The user pool $2 stays, with the accounts in it. To remove it for good:"
        say "  $cli cognito-idp update-user-pool --user-pool-id $2 --deletion-protection INACTIVE"
        say "  $cli cognito-idp delete-user-pool --user-pool-id $2"
        ;;
    AWS::RDS::DBInstance)
        while read -r snapshot; do
            say "The snapshot $snapshot of the database $2 stays; deploy.sh DatabaseSnapshot=$snapshot begins from it. To remove it for good:"
            say "  $cli rds delete-db-snapshot --db-snapshot-identifier $snapshot"
        done < <(cloud rds describe-db-snapshots --db-instance-identifier "$2" --snapshot-type manual --query 'DBSnapshots[].[DBSnapshotIdentifier]')
        say "Automatic backups of the database $2 go by themselves when they are as old as BackupDays says."
        ;;
    AWS::S3::BucketPolicy) ;; # goes with its bucket
    *) say "$2 ($1) stays." ;;
    esac
}
