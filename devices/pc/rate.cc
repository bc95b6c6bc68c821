#include "devices/pc/rate.h"

namespace vireo::pc {

void add_rate(Keys& keys, const RateNames& names, std::string_view values, std::string_view help,
              RateLimit& limit) {
  const Key rate{names.rate, values, help}, burst{names.burst, values, ""};
  if (values == "SIZE")
    keys.size(rate, limit.rate).size(burst, limit.burst);
  else
    keys.number(rate, limit.rate).number(burst, limit.burst);
  keys.number({names.burst_length, "SECONDS", ""}, limit.burst_length);
}

}  // namespace vireo::pc
