# One spot machine of Google Compute Engine that trains, and is replaced each time that it was taken away.
terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.0"
    }
  }
}

variable "project" {
  type = string
}

variable "zone" {
  type    = string
  default = "europe-west4-a"
}

variable "bucket" {
  description = "A bucket with a folder photos; the run is kept beside it."
  type        = string
}

variable "machine_type" {
  type    = string
  default = "n2-standard-8"
}

provider "google" {
  project = var.project
  zone    = var.zone
}

resource "google_service_account" "train" {
  account_id = "kertl-train"
}

# The run is written to the bucket, and old checkpoints are deleted from it.
resource "google_storage_bucket_iam_member" "files" {
  bucket = var.bucket
  role   = "roles/storage.objectUser"
  member = google_service_account.train.member
}

# For the last command, which asks for no more machines.
resource "google_project_iam_member" "resize" {
  project = var.project
  role    = "roles/compute.instanceAdmin.v1"
  member  = google_service_account.train.member
}

resource "google_compute_instance_template" "train" {
  name_prefix  = "kertl-train-"
  machine_type = var.machine_type

  disk {
    source_image = "debian-cloud/debian-12"
    disk_size_gb = 50
    boot         = true
    auto_delete  = true
  }

  network_interface {
    network = "default"
    access_config {}
  }

  scheduling {
    provisioning_model          = "SPOT"
    preemptible                 = true
    automatic_restart           = false
    instance_termination_action = "DELETE"
  }

  service_account {
    email  = google_service_account.train.email
    scopes = ["cloud-platform"]
  }

  metadata_startup_script = join("\n", [
    "#!/bin/bash",
    "export CLOUD=gce",
    "export RUN=gs://${var.bucket}/runs/1",
    "export PHOTOS=gs://${var.bucket}/photos",
    "export FINISHED='gcloud compute instance-groups managed resize kertl-train --size=0 --zone=${var.zone}'",
    file("${path.module}/train.sh"),
  ])

  lifecycle {
    create_before_destroy = true
  }
}

# One machine at a time: nothing keeps two from writing to one run.
resource "google_compute_instance_group_manager" "train" {
  name               = "kertl-train"
  base_instance_name = "kertl-train"
  zone               = var.zone
  target_size        = 1

  version {
    instance_template = google_compute_instance_template.train.id
  }

  update_policy {
    type                  = "PROACTIVE"
    minimal_action        = "REPLACE"
    replacement_method    = "RECREATE"
    max_surge_fixed       = 0
    max_unavailable_fixed = 1
  }
}
