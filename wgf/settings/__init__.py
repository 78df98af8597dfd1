"""What a person may say: values, configs, command lines, and the answer to bad ones. Without torch."""
