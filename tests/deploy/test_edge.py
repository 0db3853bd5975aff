"""The stack edge as AWS tells it: failover to the maintenance page, CloudFront before the site and before the photos."""

import json
import unittest

from botocore.exceptions import ClientError

from deployment import NAME, Deployment
from ministack import REGION, MiniStack

DOMAIN = "photos.example.org"
CERTIFICATE = "arn:aws:acm:us-east-1:000000000000:certificate/0a1b2c3d"
PUBLIC_KEY = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAuXV0NyJdDzWAbY7mZ5Jw
AQIDAQAB
-----END PUBLIC KEY-----
"""
# CloudFront's own policies, and the zone of its names, as its documentation lists them.
CACHING_OPTIMIZED, CACHING_DISABLED = "658327ea-f89d-4fab-a63d-7e88639e58f6", "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_VIEWER = "216adef6-5c7f-47e4-b989-5dd5eddcaf60"
ZONE = "Z2FDTNDATAQYW2"

aws: MiniStack
deployment: Deployment
zone: str


def setUpModule():
    global aws, deployment, zone
    aws = MiniStack().start()
    unittest.addModuleCleanup(aws.stop)
    deployment = Deployment(aws, {})
    deployment.deploy("data", SiteUrl=f"https://{DOMAIN}")
    deployment.deploy("web", SiteUrl=f"https://{DOMAIN}", CertificateArn=CERTIFICATE)
    made = aws.client("route53").create_hosted_zone(Name="example.org", CallerReference="test")
    zone = made["HostedZone"]["Id"].rsplit("/", 1)[1]


class Edge(unittest.TestCase):
    """The stack is made anew for each test, and is gone afterwards."""

    def deploy(self, **parameters: str) -> dict[str, str]:
        """Makes or updates the stack and returns its outputs."""
        self.addCleanup(aws.delete, f"{NAME}-edge")
        deployment.deploy("edge", **parameters)
        return aws.outputs(f"{NAME}-edge")

    def with_domain(self, **parameters: str) -> dict[str, str]:
        """The stack for the domain."""
        return self.deploy(Domain=DOMAIN, HostedZoneId=zone, EdgeCertificateArn=CERTIFICATE, **parameters)

    def records(self) -> dict[str, dict]:
        """The records of the domain, by what tells them apart, else by their type."""
        found = aws.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return {one.get("SetIdentifier", one["Type"]): one for one in found if one["Name"] == f"{DOMAIN}."}

    def distribution(self, name: str) -> dict:
        """The configuration of one of the stack's distributions."""
        return aws.client("cloudfront").get_distribution_config(Id=name)["DistributionConfig"]

    def cache(self, behaviour: dict) -> dict:
        """How long and by what a behaviour keeps answers, where the policy is the stack's own."""
        return aws.client("cloudfront").get_cache_policy_config(Id=behaviour["CachePolicyId"])["CachePolicyConfig"]

    def statements(self, bucket: str) -> dict[str, dict]:
        """The statements of a bucket's policy by their names."""
        return {one["Sid"]: one for one in json.loads(aws.client("s3").get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]}


class Failover(Edge):
    def test_the_domain_leads_to_the_load_balancer_while_its_ping_answers_else_to_the_page(self):
        outputs = self.with_domain()
        records = self.records()
        self.assertEqual(sorted(records), ["maintenance", "site"])
        site, page = records["site"], records["maintenance"]
        self.assertEqual((site["Type"], site["Failover"], page["Type"], page["Failover"]), ("A", "PRIMARY", "A", "SECONDARY"))
        self.assertEqual(site["AliasTarget"]["DNSName"], f"{deployment.outputs['LoadBalancerDns']}.")
        self.assertEqual(site["AliasTarget"]["HostedZoneId"], deployment.outputs["LoadBalancerZone"])
        self.assertIs(site["AliasTarget"]["EvaluateTargetHealth"], True)
        found = aws.client("cloudfront").get_distribution(Id=outputs["SiteDistribution"])["Distribution"]
        self.assertEqual(page["AliasTarget"]["DNSName"], f"{found['DomainName']}.")
        self.assertEqual(page["AliasTarget"]["HostedZoneId"], ZONE)
        self.assertEqual(outputs["SiteUrl"], f"https://{DOMAIN}")
        check = aws.client("route53").get_health_check(HealthCheckId=site["HealthCheckId"])["HealthCheck"]["HealthCheckConfig"]
        self.assertEqual(
            (check["Type"], check["Port"], check["ResourcePath"], check["EnableSNI"]), ("HTTPS", 443, "/ping", True))
        self.assertEqual(check["FullyQualifiedDomainName"], deployment.outputs["LoadBalancerDns"])
        self.assertEqual((check["RequestInterval"], check["FailureThreshold"]), (10, 3))

    def test_the_page_answers_every_address_with_503_over_tls_under_the_domain(self):
        config = self.distribution(self.with_domain()["SiteDistribution"])
        self.assertEqual(config["Aliases"]["Items"], [DOMAIN])
        self.assertEqual(config["ViewerCertificate"]["ACMCertificateArn"], CERTIFICATE)
        self.assertEqual(config["ViewerCertificate"]["MinimumProtocolVersion"], "TLSv1.2_2021")
        self.assertEqual(config["DefaultCacheBehavior"]["ViewerProtocolPolicy"], "redirect-to-https")
        self.assertNotIn("DefaultRootObject", {key for key, value in config.items() if value}, "the root would answer 200")
        errors = {one["ErrorCode"]: (one["ResponseCode"], one["ResponsePagePath"]) for one in config["CustomErrorResponses"]["Items"]}
        self.assertEqual(errors, {403: ("503", "/index.html"), 404: ("503", "/index.html")})
        headers = aws.client("cloudfront").get_response_headers_policy_config(
            Id=config["DefaultCacheBehavior"]["ResponseHeadersPolicyId"])["ResponseHeadersPolicyConfig"]
        self.assertTrue(headers["SecurityHeadersConfig"]["ContentSecurityPolicy"]["ContentSecurityPolicy"].startswith("default-src 'none';"))
        own = {one["Header"]: one["Value"] for one in headers["CustomHeadersConfig"]["Items"]}
        self.assertEqual(own, {"Cache-Control": "no-store", "Retry-After": "30"})

    def test_the_pages_bucket_is_private_and_read_by_its_distribution_alone(self):
        outputs = self.with_domain()
        bucket = outputs["MaintenanceBucket"]
        blocked = aws.client("s3").get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        self.assertEqual(set(blocked.values()), {True})
        statements = self.statements(bucket)
        read = statements["ReadThroughTheDistribution"]
        self.assertEqual(read["Principal"], {"Service": "cloudfront.amazonaws.com"})
        self.assertEqual((read["Action"], read["Resource"]), ("s3:GetObject", f"arn:aws:s3:::{bucket}/index.html"))
        source = f"arn:aws:cloudfront::000000000000:distribution/{outputs['SiteDistribution']}"
        self.assertEqual(read["Condition"], {"StringEquals": {"aws:SourceArn": source}})
        self.assertEqual(statements["OverTlsOnly"]["Condition"], {"Bool": {"aws:SecureTransport": "false"}})
        [origin] = self.distribution(outputs["SiteDistribution"])["Origins"]["Items"]
        control = aws.client("cloudfront").get_origin_access_control_config(Id=origin["OriginAccessControlId"])["OriginAccessControlConfig"]
        self.assertEqual(
            (control["OriginAccessControlOriginType"], control["SigningBehavior"], control["SigningProtocol"]), ("s3", "always", "sigv4"))

    def test_without_a_domain_names_and_distributions_are_left_alone(self):
        outputs = self.deploy()
        self.assertEqual(outputs.keys(), {"MaintenanceBucket"})
        self.assertEqual(self.records(), {})
        self.assertEqual(aws.client("cloudfront").list_distributions()["DistributionList"]["Quantity"], 0)

    def test_when_the_stack_goes_everything_of_it_goes(self):
        bucket = self.with_domain()["MaintenanceBucket"]
        aws.delete(f"{NAME}-edge")
        self.assertEqual(self.records(), {})
        self.assertEqual(aws.client("route53").list_health_checks()["HealthChecks"], [])
        self.assertEqual(aws.client("cloudfront").list_distributions()["DistributionList"]["Quantity"], 0)
        self.assertNotIn(bucket, [one["Name"] for one in aws.client("s3").list_buckets()["Buckets"]])


class BeforeTheSite(Edge):
    def behaviours(self, config: dict) -> dict[str, dict]:
        """How CloudFront treats paths, the default under a star."""
        return {"*": config["DefaultCacheBehavior"], **{one["PathPattern"]: one for one in config["CacheBehaviors"]["Items"]}}

    def test_pages_are_never_kept_and_hashed_files_as_the_gallery_says(self):
        behaviours = self.behaviours(self.distribution(self.with_domain(SiteCdn="yes")["SiteDistribution"]))
        self.assertEqual(behaviours.keys(), {"*", "/static/*", "/index.html"})
        pages, files, page = behaviours["*"], behaviours["/static/*"], behaviours["/index.html"]
        self.assertEqual((pages["CachePolicyId"], pages["OriginRequestPolicyId"]), (CACHING_DISABLED, ALL_VIEWER))
        self.assertEqual((files["OriginRequestPolicyId"], page["CachePolicyId"]), (ALL_VIEWER, CACHING_OPTIMIZED))
        kept = self.cache(files)
        self.assertEqual((kept["MinTTL"], kept["DefaultTTL"], kept["MaxTTL"]), (0, 0, 365 * 24 * 3600), "no-store is heeded, and a year")
        key = kept["ParametersInCacheKeyAndForwardedToOrigin"]
        self.assertEqual((key["EnableAcceptEncodingBrotli"], key["EnableAcceptEncodingGzip"]), (True, True))
        self.assertEqual((pages["TargetOriginId"], files["TargetOriginId"], page["TargetOriginId"]), ("site", "site", "maintenance"))
        self.assertEqual(set(pages["AllowedMethods"]["Items"]), {"GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"})
        self.assertEqual({one["ViewerProtocolPolicy"] for one in behaviours.values()}, {"redirect-to-https"})
        self.assertNotIn("ResponseHeadersPolicyId", {key for key, value in pages.items() if value}, "headers are the gallery's own")

    def test_the_load_balancer_is_spoken_to_by_tls_and_lets_go_last(self):
        config = self.distribution(self.with_domain(SiteCdn="yes")["SiteDistribution"])
        [site] = [one for one in config["Origins"]["Items"] if one["Id"] == "site"]
        origin = site["CustomOriginConfig"]
        self.assertEqual(site["DomainName"], deployment.outputs["LoadBalancerDns"])
        self.assertEqual((origin["OriginProtocolPolicy"], origin["OriginSslProtocols"]["Items"]), ("https-only", ["TLSv1.2"]))
        found = aws.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=deployment.outputs["LoadBalancerArn"])["Attributes"]
        [idle] = [int(one["Value"]) for one in found if one["Key"] == "idle_timeout.timeout_seconds"]
        self.assertLess(origin["OriginKeepaliveTimeout"], idle)
        self.assertGreaterEqual(origin["OriginReadTimeout"], idle)

    def test_no_failure_is_kept_and_an_unreachable_site_is_the_page(self):
        config = self.distribution(self.with_domain(SiteCdn="yes")["SiteDistribution"])
        errors = {one["ErrorCode"]: one for one in config["CustomErrorResponses"]["Items"]}
        self.assertEqual(errors.keys(), {400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}, "all that CloudFront would keep")
        self.assertEqual({one["ErrorCachingMinTTL"] for one in errors.values()}, {0})
        paged = {code: (one["ResponseCode"], one["ResponsePagePath"]) for code, one in errors.items() if one.get("ResponsePagePath")}
        self.assertEqual(paged, {502: ("503", "/index.html"), 504: ("503", "/index.html")}, "a 503 of the gallery's is its own page")

    def test_going_behind_cloudfront_and_back_moves_the_name_with_one_distribution(self):
        before = self.with_domain()
        behind = self.deploy(SiteCdn="yes")
        self.assertEqual(before["SiteDistribution"], behind["SiteDistribution"], "a name can belong to one alone")
        records = self.records()
        found = aws.client("cloudfront").get_distribution(Id=behind["SiteDistribution"])["Distribution"]
        self.assertEqual(sorted(records), ["AAAA", "site"])
        self.assertEqual({one["AliasTarget"]["DNSName"] for one in records.values()}, {f"{found['DomainName']}."})
        self.assertNotIn("HealthCheckId", records["site"])
        after = self.deploy(SiteCdn="no")
        self.assertEqual(after["SiteDistribution"], before["SiteDistribution"])
        self.assertEqual(sorted(self.records()), ["maintenance", "site"])
        self.assertEqual([one["Id"] for one in self.distribution(after["SiteDistribution"])["Origins"]["Items"]], ["maintenance"])


class BeforeThePhotos(Edge):
    def test_photos_are_given_for_signed_links_over_tls_alone(self):
        outputs = self.deploy(PhotosPublicKey=PUBLIC_KEY)
        cloudfront = aws.client("cloudfront")
        config = self.distribution(outputs["PhotosDistribution"])
        behaviour = config["DefaultCacheBehavior"]
        self.assertIs(behaviour["TrustedKeyGroups"]["Enabled"], True)
        [group] = behaviour["TrustedKeyGroups"]["Items"]
        self.assertEqual(cloudfront.get_key_group_config(Id=group)["KeyGroupConfig"]["Items"], [outputs["PhotosKeyPairId"]])
        key = cloudfront.get_public_key_config(Id=outputs["PhotosKeyPairId"])["PublicKeyConfig"]
        self.assertEqual((key["EncodedKey"], key["Name"]), (PUBLIC_KEY, f"{NAME}-{REGION}-photos-1"))
        self.assertEqual(behaviour["ViewerProtocolPolicy"], "https-only")
        self.assertEqual(behaviour["AllowedMethods"]["Items"], ["GET", "HEAD"])
        found = cloudfront.get_distribution(Id=outputs["PhotosDistribution"])["Distribution"]
        self.assertEqual(outputs["PhotosDomain"], found["DomainName"])
        [origin] = config["Origins"]["Items"]
        self.assertEqual(origin["DomainName"], f"{deployment.outputs['PhotosBucket']}.s3.us-east-1.amazonaws.com")

    def test_a_name_or_type_that_a_link_asks_for_is_no_other_links(self):
        config = self.distribution(self.deploy(PhotosPublicKey=PUBLIC_KEY)["PhotosDistribution"])
        kept_apart = self.cache(config["DefaultCacheBehavior"])["ParametersInCacheKeyAndForwardedToOrigin"]
        self.assertEqual(kept_apart["QueryStringsConfig"]["QueryStringBehavior"], "whitelist")
        self.assertEqual(
            set(kept_apart["QueryStringsConfig"]["QueryStrings"]["Items"]), {"response-content-disposition", "response-content-type"})
        self.assertEqual(kept_apart["CookiesConfig"]["CookieBehavior"], "none")
        self.assertEqual(kept_apart["HeadersConfig"]["HeaderBehavior"], "none")

    def test_photos_are_kept_for_a_day_though_they_say_private(self):
        config = self.distribution(self.deploy(PhotosPublicKey=PUBLIC_KEY)["PhotosDistribution"])
        self.assertEqual(self.cache(config["DefaultCacheBehavior"])["MinTTL"], 24 * 3600)

    def test_names_that_all_regions_share_have_the_region(self):
        outputs = self.with_domain(SiteCdn="yes", PhotosPublicKey=PUBLIC_KEY)
        cloudfront, config = aws.client("cloudfront"), self.distribution(outputs["PhotosDistribution"])
        behaviour, [origin] = config["DefaultCacheBehavior"], config["Origins"]["Items"]
        access = cloudfront.get_origin_access_control_config(Id=origin["OriginAccessControlId"])["OriginAccessControlConfig"]
        group = cloudfront.get_key_group_config(Id=behaviour["TrustedKeyGroups"]["Items"][0])["KeyGroupConfig"]
        site = self.distribution(outputs["SiteDistribution"])["CacheBehaviors"]["Items"]
        files, page = sorted(site, key=lambda one: one["PathPattern"], reverse=True)
        headers = cloudfront.get_response_headers_policy_config(Id=page["ResponseHeadersPolicyId"])["ResponseHeadersPolicyConfig"]
        names = [one["Name"] for one in (access, group, headers, self.cache(behaviour), self.cache(files))]
        self.assertEqual(names, [f"{NAME}-{REGION}-{what}" for what in ("buckets", "photos", "maintenance", "photos", "files")])

    def test_a_new_key_takes_the_place_of_the_old_one(self):
        before = self.deploy(PhotosPublicKey=PUBLIC_KEY)
        after = self.deploy(PhotosPublicKey=PUBLIC_KEY.replace("AQIDAQAB", "AQIDAQAC"), PhotosKeyVersion="2")
        self.assertNotEqual(before["PhotosKeyPairId"], after["PhotosKeyPairId"])
        self.assertEqual(before["PhotosDistribution"], after["PhotosDistribution"])
        keys = aws.client("cloudfront").list_public_keys()["PublicKeyList"]["Items"]
        self.assertEqual([(key["Id"], key["Name"]) for key in keys], [(after["PhotosKeyPairId"], f"{NAME}-{REGION}-photos-2")])

    def test_the_bucket_lets_that_distribution_read(self):
        outputs = self.deploy(PhotosPublicKey=PUBLIC_KEY)
        deployment.deploy("data", PhotosDistribution=outputs["PhotosDistribution"])
        self.addCleanup(deployment.deploy, "data", PhotosDistribution="")
        read = self.statements(deployment.outputs["PhotosBucket"])["ReadThroughTheDistribution"]
        source = f"arn:aws:cloudfront::000000000000:distribution/{outputs['PhotosDistribution']}"
        self.assertEqual(read["Condition"], {"StringEquals": {"aws:SourceArn": source}})

    def test_the_stack_web_takes_what_edge_gives(self):
        outputs = self.deploy(PhotosPublicKey=PUBLIC_KEY)
        secret = "arn:aws:secretsmanager:us-east-1:000000000000:secret:photos-AbCdEf"
        deployment.deploy(
            "web", PhotosDomain=outputs["PhotosDomain"], PhotosKeyPairId=outputs["PhotosKeyPairId"], PhotosPrivateKeySecret=secret)
        self.addCleanup(deployment.deploy, "web", PhotosDomain="", PhotosKeyPairId="", PhotosPrivateKeySecret="")
        settings = deployment.machine("WebGroup")["SETTINGS"]
        self.assertIn(f"\nGALLERY__STORE__S3__CLOUDFRONT__DOMAIN={outputs['PhotosDomain']}\n", settings)
        self.assertIn(f"\nGALLERY__STORE__S3__CLOUDFRONT__KEY_PAIR_ID={outputs['PhotosKeyPairId']}", settings)


class Refusals(Edge):
    def refused(self, **parameters: str) -> str:
        """The words with which CloudFormation refuses the parameters."""
        with self.assertRaises(ClientError) as refusal:
            self.deploy(**parameters)
        return str(refusal.exception)

    def test_a_domain_needs_its_zone_and_a_certificate_in_the_region_of_cloudfront(self):
        self.assertIn("Domain needs HostedZoneId", self.refused(Domain=DOMAIN, EdgeCertificateArn=CERTIFICATE))
        self.assertIn("Domain needs EdgeCertificateArn", self.refused(Domain=DOMAIN, HostedZoneId=zone))
        elsewhere = CERTIFICATE.replace("us-east-1", "eu-west-1")
        self.assertIn("us-east-1", self.refused(Domain=DOMAIN, HostedZoneId=zone, EdgeCertificateArn=elsewhere))

    def test_cloudfront_before_the_site_needs_a_domain(self):
        self.assertIn("SiteCdn needs Domain", self.refused(SiteCdn="yes"))

    def test_what_is_no_public_key_is_refused(self):
        self.assertIn("public key in PEM", self.refused(PhotosPublicKey="-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n"))


if __name__ == "__main__":
    unittest.main()
