//! `launch` and `destroy` as straight lines over three seams: disks, network, VMM.
