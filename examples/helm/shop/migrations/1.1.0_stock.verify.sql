SELECT count(*) = 0 AS no_product_has_a_negative_stock FROM product WHERE stock < 0;
