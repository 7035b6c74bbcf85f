//! Real disks that can lose power or run full: loop devices and small file systems (root only).
