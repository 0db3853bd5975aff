#!/usr/bin/env bash
# Makes the gallery in an AWS account, or brings it up to date: its stacks in their order, the release, the database's tables and users.
# Run again without a change it does nothing.
#
#   deploy/deploy.sh [OPTION...] [Key=Value...]
#
#     --name NAME          the deployment's name, with which names of its stacks begin [photo-gallery]
#     --region REGION      the region [AWS_REGION, or the AWS CLI's configuration]
#     --release RELEASE    what to run: an archive or a folder made by package.sh, or a version that the artifacts bucket holds
#                          [this checkout, built by package.sh when the bucket does not hold it]
#     --rds-ca FILE        the certificate authorities of RDS [the bucket's, else AWS's global bundle, fetched]
#     --only STACK         only this stack, and the bucket and database as they are; may be given again
#     --pipeline           also the stack pipeline; once made it is kept up to date without this
#     --plan               only say what would change
#     --endpoint-url URL   an emulator of AWS in place of AWS
#
# Each Key=Value is a parameter of the stacks that declare Key (see deploy/README.md). What is not given keeps its value.
# The stack edge is made once Domain or PhotosPublicKey is given.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
program=deploy.sh
# shellcheck source=account.sh
source "$here/account.sh"
# shellcheck source=removal.sh
source "$here/removal.sh"
# shellcheck source=release.sh
source "$here/release.sh"

declare -A given=() is_parameter=()
release="" rds_ca="" only=() pipeline=false plan=false changed=0

while [ $# -gt 0 ]; do
    case "$1" in
    -h | --help) usage "$0"; exit ;;
    --pipeline) pipeline=true; shift; continue ;;
    --plan) plan=true; shift; continue ;;
    --*)
        [ $# -ge 2 ] || die "$1 wants a value; --help tells the options"
        case "$1" in
        --release) release="$2" ;;
        --rds-ca) rds_ca="$2" ;;
        --only) only+=("$2") ;;
        *) shared_option "$1" "$2" || die "there is no option $1; --help tells the options" ;;
        esac
        shift 2
        continue
        ;;
    *=*) given["${1%%=*}"]="${1#*=}" ;;
    *) die "\"$1\" is neither an option nor Key=Value; --help tells the options" ;;
    esac
    shift
done

# --- parameters --------------------------------------------------------------------------------------------------------------

template() { echo "$here/stacks/$1.yaml"; }

# Prints the parameters that a template declares: its keys two spaces deep below Parameters.
declared() { awk '/^[A-Za-z]/ { inside = ($1 == "Parameters:") } inside && /^  [A-Za-z0-9]+:/ { sub(/:.*/, "", $1); print $1 }' "$(template "$1")"; }

# Refuses keys that no stack declares, and those that come with the release.
check_given() {
    local key stack
    for stack in "${all_stacks[@]}"; do
        while read -r key; do is_parameter["$key"]+="$stack "; done < <(declared "$stack")
    done
    for key in "${!given[@]}"; do
        case "$key" in
        Release | ReleaseSha256 | RdsCaSha256) die "$key comes with the release: give --release or --rds-ca" ;;
        Name) die "Name is the deployment's: give --name" ;;
        esac
        [ -n "${is_parameter[$key]:-}" ] || die "no stack has a parameter $key; deploy/README.md lists them all"
    done
    for stack in "${only[@]}"; do
        [ -f "$(template "$stack")" ] || die "there is no stack $stack; there are: ${all_stacks[*]}"
    done
}

json_string() {
    local text="$1"
    text="${text//\\/\\\\}"
    text="${text//\"/\\\"}"
    text="${text//$'\n'/\\n}"
    text="${text//$'\t'/\\t}"
    printf '"%s"' "$text"
}

# Prints the value that a stack of this deployment has for a key, the first's in their order; fails where none has one.
value_elsewhere() {
    local stack
    for stack in "${all_stacks[@]}"; do
        if [ -n "${value_of["$name-$stack $1"]+set}" ]; then
            echo "${value_of["$name-$stack $1"]}"
            return
        fi
    done
    return 1
}

# Prints the value that a stack's parameter will have: what is given, what it has, its template's default: coming STACK KEY
coming() {
    if [ -n "${given[$2]+set}" ]; then
        echo "${given[$2]}"
    elif [ -n "${value_of["$name-$1 $2"]+set}" ]; then
        echo "${value_of["$name-$1 $2"]}"
    else
        awk -v key="  $2:" '/^  [A-Za-z0-9]+:/ { inside = ($0 == key) } inside && /^    Default:/ { gsub(/^    Default: *"?|"? *$/, ""); print; exit }' "$(template "$1")"
    fi
}

# Refuses what would fail only once machines are replaced.
check_sizes() {
    local kind least most
    wanted web || return 0
    for kind in Web Worker; do
        least="$(coming web "${kind}Min")"
        most="$(coming web "${kind}Max")"
        [[ "$least$most" =~ ^[0-9]+$ ]] || continue # CloudFormation refuses what is no number
        ((10#$least < 10#$most)) ||
            die "${kind}Min ($least) has to be less than ${kind}Max ($most), so that there is room for one more machine while they are replaced: give both"
    done
}

# Refuses a site that lacks a part, before the first stack is changed for it.
check_site() {
    local key missing="" certificate
    certificate="$(coming web CertificateArn)"
    if [ -n "${given[Domain]:-}" ]; then
        for key in HostedZoneId EdgeCertificateArn; do [ -n "$(coming edge "$key")" ] || missing+=" $key"; done
    fi
    if [ -n "${given[SiteUrl]:-}" ] && [ -z "$certificate" ]; then missing+=" CertificateArn"; fi
    [ -z "$missing" ] || die "an address of your own (${given[SiteUrl]}) also needs$missing; deploy/README.md says what they are"
    case "$certificate" in
    "" | arn:*:acm:"$region":*) ;;
    *) die "CertificateArn is to be a certificate in $region, where the load balancer is, not $certificate" ;;
    esac
}

# Accounts of everybody need https: without it the operator makes them, unless SignUp says otherwise.
choose_sign_up() {
    [ -z "${given[SignUp]+set}${status_of["$name-data"]:-}" ] && [ -z "$(coming data SiteUrl)" ] && wanted data || return 0
    given[SignUp]=closed
    say "Without SiteUrl or Domain passwords travel unencrypted, so nobody can sign up (SignUp=closed; SignUp=open lets everybody). You make accounts:" \
        "aws cognito-idp admin-create-user --user-pool-id POOL --username ann@example.org --user-attributes Name=email,Value=ann@example.org Name=email_verified,Value=true --desired-delivery-mediums EMAIL"
}

# Prints the stacks that change first where the usual order would take away what they still use.
ahead() {
    # Servers get public addresses before the NAT gateway goes.
    if [ "${given[Nat]:-}" = none ] && [ "${value_of["$name-network Nat"]:-none}" != none ]; then echo messaging web; fi
    # Servers use no sign-in pages before those go, and no links through CloudFront before that goes.
    if [ -n "${given[SiteUrl]+set}" ] && [ -z "${given[SiteUrl]}" ] && [ -n "${value_of["$name-data SiteUrl"]:-}" ]; then echo web; fi
    if [ -n "${given[PhotosPublicKey]+set}" ] && [ -z "${given[PhotosPublicKey]}" ] && [ -n "${value_of["$name-web PhotosDomain"]:-}" ]; then echo web; fi
}

# Refuses another key for photos in one step: until the last server has it, links signed with the one before would lead nowhere.
check_photos_key() {
    local key
    [ -n "${given[PhotosPublicKey]:-}" ] && [ -n "${output_of["$name-edge PhotosKeyPairId"]:-}" ] || return 0
    # A line's end after the last makes no other key.
    key="${value_of["$name-edge PhotosPublicKey"]:-}"
    [ "${key%$'\n'}" = "${given[PhotosPublicKey]%$'\n'}" ] ||
        die "the key of links to photos is changed in two steps, or links lead nowhere meanwhile: deploy.sh PhotosPublicKey= and then" \
            "deploy.sh PhotosPublicKey=... PhotosPrivateKeySecret=... PhotosKeyVersion=$(($(coming edge PhotosKeyVersion) + 1))"
}

# Prints the parameters of a stack as JSON: those given, those it has, those that another stack of the deployment has.
parameters() {
    local key value entries=()
    while read -r key; do
        if [ -n "${given[$key]+set}" ]; then
            entries+=("{\"ParameterKey\": \"$key\", \"ParameterValue\": $(json_string "${given[$key]}")}")
        elif [ -n "${status_of["$name-$1"]:-}" ] && [ -n "${value_of["$name-$1 $key"]+set}" ]; then
            entries+=("{\"ParameterKey\": \"$key\", \"UsePreviousValue\": true}")
        elif [ "$key" != LatestImage ] && value="$(value_elsewhere "$key")"; then # an image is looked up anew
            entries+=("{\"ParameterKey\": \"$key\", \"ParameterValue\": $(json_string "$value")}")
        fi
    done < <(declared "$1")
    local IFS=,
    echo "[${entries[*]}]"
}

# --- stacks ------------------------------------------------------------------------------------------------------------------

# Removes what is left of a stack that never came up, refuses one that something else is at work on.
clear_the_way() {
    local stack="$name-$1" type id
    case "${status_of[$stack]:-}" in
    ROLLBACK_COMPLETE | ROLLBACK_FAILED | REVIEW_IN_PROGRESS | DELETE_FAILED)
        ! came_up "${id_of[$stack]}" ||
            die "the stack $stack was to be deleted and could not be: destroy.sh deletes what is left of the deployment, then run this again"
        say "$1: the stack never came up (${status_of[$stack]}): what is left of it is removed, and it is made anew"
        if ! $plan; then
            unprotect "${id_of[$stack]}"
            going "${id_of[$stack]}" staying >"$scratch/staying"
            delete "${id_of[$stack]}" "$stack"
            while read -r type id; do remains "$type" "$id"; done <"$scratch/staying"
        fi
        unset "status_of[$stack]"
        ;;
    *_IN_PROGRESS) die "the stack $stack is ${status_of[$stack]}: wait until that has ended and run this again" ;;
    UPDATE_ROLLBACK_FAILED)
        die "the stack $stack is stuck (UPDATE_ROLLBACK_FAILED): aws cloudformation continue-update-rollback --stack-name $stack; then run this again"
        ;;
    esac
}

# Whether a stack was there once, as its events say.
came_up() {
    local events
    events="$(cloud cloudformation describe-stack-events --stack-name "$1" --query "StackEvents[?PhysicalResourceId=='$1' && \
        ResourceStatus=='CREATE_COMPLETE'].EventId" 2>"$scratch/error")" || die "the events of the stack $1 cannot be looked at: $(last_line)"
    [ -n "${events//None/}" ]
}

# The most bytes of a template that CloudFormation takes in a request; larger ones it fetches from a bucket.
largest_body=51200

# Puts a template into the artifacts bucket and prints its address.
stored_template() {
    local bucket key file
    file="$(template "$1")"
    [ -n "${output_of["$name-data ArtifactsBucket"]:-}" ] || die "$file is larger than $largest_body bytes, and the bucket to hand it over in is made by the stack data: shorten it"
    bucket="${output_of["$name-data ArtifactsBucket"]}"
    key="templates/$1-$(sha256 "$file").yaml"
    cloud s3 cp --only-show-errors "$file" "s3://$bucket/$key" 2>"$scratch/error" || die "$file could not be stored as s3://$bucket/$key: $(last_line)"
    case "${endpoint[1]:-}/$region" in
    /cn-*) echo "https://$bucket.s3.$region.amazonaws.com.cn/$key" ;;
    /*) echo "https://$bucket.s3.$region.amazonaws.com/$key" ;;
    *) echo "${endpoint[1]}/$bucket/$key" ;;
    esac
}

# What CloudFormation is asked with for a stack: request STACK COMMAND OPTION...
request() {
    local short="$1" place=(--template-body "file://$(template "$1")")
    shift
    if (($(wc -c <"$(template "$short")") > largest_body)); then
        place=(--template-url "$(stored_template "$short")")
    fi
    cloud cloudformation "$@" --stack-name "$name-$short" "${place[@]}" --parameters "$(parameters "$short")" \
        --capabilities CAPABILITY_NAMED_IAM 2>"$scratch/error" || die "the stack $name-$short is refused: $(last_line)"
}

# Has CloudFormation work out the change of a stack, a change set named $set; fails when there is none.
propose() {
    local status reason
    set="deploy-$$-$RANDOM"
    request "$1" create-change-set --change-set-name "$set" >/dev/null
    while :; do
        IFS=$'\t' read -r status reason < <(cloud cloudformation describe-change-set --stack-name "$name-$1" --change-set-name "$set" --query '[Status, StatusReason]')
        case "$status" in *_PENDING | *_IN_PROGRESS) sleep 1 ;; *) break ;; esac
    done
    [ "$status" != CREATE_COMPLETE ] || return 0
    drop_proposal "$1"
    case "$reason" in
    *"didn't contain changes"* | *"No updates"*) return 1 ;;
    *) die "the change of the stack $name-$1 cannot be worked out: $reason" ;;
    esac
}

drop_proposal() { cloud cloudformation delete-change-set --stack-name "$name-$1" --change-set-name "$set"; }

# Says what a proposed change would do.
show_proposal() {
    local action resource type replacement
    cloud cloudformation describe-change-set --stack-name "$name-$1" --change-set-name "$set" \
        --query 'Changes[].ResourceChange.[Action, LogicalResourceId, ResourceType, Replacement]' |
        while IFS=$'\t' read -r action resource type replacement; do
            case "$replacement" in True) replacement=", replaced" ;; Conditional) replacement=", perhaps replaced" ;; *) replacement="" ;; esac
            say "  $action $resource ($type)$replacement"
        done
}

# Makes a stack or brings it up to date: deploy STACK
deploy() {
    local stack="$name-$1" token="deploy-$$-$RANDOM" id set
    clear_the_way "$1"
    id="${id_of[$stack]:-}"
    if [ -z "${status_of[$stack]:-}" ]; then
        if $plan; then
            say "$1: would be made"
        else
            say "$1: making the stack $stack"
            id="$(request "$1" create-stack --client-request-token "$token" --query StackId)"
            settle "$id" "$stack" "$token" CREATE_COMPLETE
        fi
    elif ! propose "$1"; then
        say "$1: nothing to do"
        return
    elif $plan; then
        say "$1: would change"
        show_proposal "$1"
        drop_proposal "$1"
    else
        say "$1: changing the stack $stack"
        cloud cloudformation execute-change-set --stack-name "$stack" --change-set-name "$set" --client-request-token "$token" 2>"$scratch/error" ||
            die "the change of the stack $stack is refused: $(last_line)"
        settle "$id" "$stack" "$token" UPDATE_COMPLETE
    fi
    changed=$((changed + 1))
}

# Waits for a stack to be where it was sent, and reads it anew: settle STACK-ID NAME TOKEN STATUS
settle() {
    wait_for "$1" "$3"
    [ "$settled" = "$4" ] || {
        reasons "$1" "$3" >&2
        die "the stack $2 could not be brought to $4 and is $settled: mend what is said above and run this again"
    }
    read_stacks
}

# --- the database ------------------------------------------------------------------------------------------------------------

# Prints the text, quotes and escapes with it, that a JSON object has for a key; fails where it has none.
json_field() {
    local text='"([^"\\]|\\.)*"'
    [[ "$1" =~ \"$2\"[[:space:]]*:[[:space:]]*($text) ]] && echo "${BASH_REMATCH[1]}"
}

secret() { cloud secretsmanager get-secret-value --secret-id "$1" --query SecretString 2>"$scratch/error" || die "the secret $1 cannot be read: $(last_line)"; }

# Brings the database to the release's shape and makes web_user. The passwords pass through a file that only its owner reads.
migrate() {
    local function master user answer failure admin password
    function="$(output migrate Function)"
    master="$(secret "$(output data DatabaseMasterSecret)")"
    user="$(secret "$(output data WebUserSecret)")"
    if ! admin="$(json_field "$master" username)" || ! password="$(json_field "$master" password)"; then
        die "the secret of the database's master account is not as RDS makes it: JSON with username and password"
    fi
    printf '{"admin": %s, "password": %s, "user_password": %s}' "$admin" "$password" "$(json_string "$user")" >"$scratch/event"
    failure="$(cloud lambda invoke --function-name "$function" --payload "fileb://$scratch/event" --cli-read-timeout 330 \
        --query FunctionError "$scratch/answer" 2>"$scratch/error")" || die "the function $function cannot be invoked: $(last_line)"
    rm -f "$scratch/event"
    answer="$(cat "$scratch/answer")"
    [ "$failure" = None ] ||
        die "the database was not migrated: $(json_field "$answer" errorMessage || echo "$answer"). More is in the log /aws/lambda/$function"
    say "migrate: $(json_field "$answer" message || echo "$answer")"
}

# --- all of it ---------------------------------------------------------------------------------------------------------------

# Whether a stack is to be deployed now.
wanted() {
    local stack
    if [ ${#only[@]} -gt 0 ]; then
        for stack in "${only[@]}"; do [ "$stack" != "$1" ] || return 0; done
        return 1
    fi
    case "$1" in
    edge) [ -n "${given[Domain]:-}${given[PhotosPublicKey]:-}${status_of["$name-edge"]:-}" ] ;;
    pipeline) $pipeline || [ -n "${status_of["$name-pipeline"]:-}" ] ;;
    esac
}

# Sets parameters that later stacks tell earlier ones; fails when nothing is new. The names of outputs and parameters are the same.
tell_back() {
    local key new=1
    for key in PhotosDistribution PhotosDomain PhotosKeyPairId; do
        # Without the key there is no distribution before the photos any more.
        if [ -n "${given[PhotosPublicKey]+set}" ] && [ -z "${given[PhotosPublicKey]}" ]; then
            given[$key]=""
            continue
        fi
        [ -n "${output_of["$name-edge $key"]:-}" ] && [ "${given[$key]:-}" != "${output_of["$name-edge $key"]}" ] || continue
        given[$key]="${output_of["$name-edge $key"]}"
        new=0
    done
    if [ "${given[S3Notifications]:-}" = no ]; then
        given[UploadsTopic]=""
    elif [ "${value_of["$name-messaging S3Notifications"]:-}" = yes ] && [ "${given[UploadsTopic]:-}" != "${output_of["$name-messaging TopicArn"]}" ]; then
        given[UploadsTopic]="${output_of["$name-messaging TopicArn"]}"
        new=0
    fi
    return $new
}

# The page that visitors see when the site is away.
store_maintenance() {
    local page="$here/maintenance/index.html" bucket sha there
    bucket="$(output edge MaintenanceBucket)"
    sha="$(sha256 "$page")"
    there="$(stored "$bucket" index.html)"
    [ "$there" = "$sha" ] || store "$page" "$sha" "$bucket" index.html --content-type "text/html; charset=utf-8"
}

check_given
[ -z "$release" ] || find_release
[ -z "$rds_ca" ] || check_authorities
if ! command -v cfn-lint >/dev/null; then
    say "The templates are not linted: cfn-lint is not there (pip install cfn-lint)."
elif [ ${#only[@]} -eq 0 ]; then
    cfn-lint --non-zero-exit-code error -- "$here"/stacks/*.yaml || die "cfn-lint finds fault with the templates: see above"
else
    for stack in "${only[@]}"; do
        cfn-lint --non-zero-exit-code error -- "$(template "$stack")" || die "cfn-lint finds fault with the template of $stack: see above"
    done
fi
enter_account curl sha256sum awk unzip zip
read_stacks
given[Name]="$name"
if [ -n "${given[Domain]:-}" ] && [ -z "${given[SiteUrl]:-}" ]; then given[SiteUrl]="https://${given[Domain]}"; fi
check_sizes
check_site
check_photos_key
choose_sign_up
tell_back || true

for stack in $(ahead); do
    if wanted "$stack" && [ -n "${status_of["$name-$stack"]:-}" ]; then deploy "$stack"; fi
done
for stack in "${all_stacks[@]}"; do
    if wanted "$stack"; then deploy "$stack"; fi
    $plan && continue
    case "$stack" in
    data)
        if [ ${#only[@]} -eq 0 ] || [ -n "$release$rds_ca" ]; then
            bucket="$(output data ArtifactsBucket)"
            provide_authorities "$bucket"
            provide_release "$bucket"
        fi
        ;;
    migrate) if wanted migrate; then migrate; fi ;;
    edge) if wanted edge; then store_maintenance; fi ;;
    esac
done
if ! $plan && tell_back; then
    for stack in data web; do
        if wanted "$stack"; then deploy "$stack"; fi
    done
fi

if $plan; then
    ((changed > 0)) || say "There is nothing to do."
    exit
fi
((changed > 0)) || say "There was nothing to do."
for stack in edge web; do
    if [ -n "${output_of["$name-$stack SiteUrl"]:-}" ]; then
        say "The gallery: ${output_of["$name-$stack SiteUrl"]}"
        break
    fi
done
