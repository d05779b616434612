#!/bin/bash
# One spot machine of Amazon EC2 that trains, and is replaced each time that it was taken away.
# Usage: ec2.sh BUCKET AMI SUBNET INSTANCE_PROFILE, with an image of Debian 12 that has the command aws, and a profile
# that may read and write the bucket and call autoscaling:SetDesiredCapacity.
set -eu
bucket=$1 image=$2 subnet=$3 profile=$4
here=$(dirname "$0")

user_data=$({
    echo '#!/bin/bash'
    echo "export CLOUD=ec2 RUN=s3://$bucket/runs/1 PHOTOS=s3://$bucket/photos"
    echo "export FINISHED='aws autoscaling set-desired-capacity --auto-scaling-group-name kertl-train --desired-capacity 0'"
    cat "$here/train.sh"
} | base64 --wrap 0)

aws ec2 create-launch-template --launch-template-name kertl-train --launch-template-data "{
  \"ImageId\": \"$image\",
  \"InstanceType\": \"c7i.2xlarge\",
  \"IamInstanceProfile\": {\"Name\": \"$profile\"},
  \"InstanceMarketOptions\": {\"MarketType\": \"spot\", \"SpotOptions\": {\"SpotInstanceType\": \"one-time\"}},
  \"MetadataOptions\": {\"HttpTokens\": \"required\"},
  \"UserData\": \"$user_data\"
}"
# One machine at a time: nothing keeps two from writing to one run.
# shellcheck disable=SC2016 # $Latest is for AWS
aws autoscaling create-auto-scaling-group --auto-scaling-group-name kertl-train --min-size 0 --max-size 1 \
    --desired-capacity 1 --vpc-zone-identifier "$subnet" --launch-template 'LaunchTemplateName=kertl-train,Version=$Latest'
